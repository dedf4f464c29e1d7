/* Writes a disk's old content over NBD, several requests in flight; private to disk-rollback.c. */
#ifndef CS_VMM_DISK_WRITE_H
#define CS_VMM_DISK_WRITE_H

#include "vmm/disk-nbd.h"
#include "vmm/disk-old.h"

typedef struct CsDiskWriter CsDiskWriter;

/* All memory is there and touched afterwards.  One writer serves all disks. */
CsDiskWriter *cs_disk_writer_new (void);
/* After an error the connections go first: requests in flight still use the writer's memory. */
void cs_disk_writer_free (CsDiskWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskWriter, cs_disk_writer_free)

/* Writes all that @old wants to the export of @nbd, of @size bytes; *@touched is set before the
 * first write, *@bytes raised by what was written. */
bool cs_disk_writer_run (CsDiskWriter *writer, CsNbd *nbd, guint64 size, CsDiskOld *old,
                         bool *touched, guint64 *bytes, GError **error);

#endif
