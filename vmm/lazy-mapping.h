/* What another process has mapped, which pages of it are there, and writing to it.
 * Source: proc(5), the kernel's Documentation/admin-guide/mm/pagemap.rst. */
#ifndef CS_VMM_LAZY_MAPPING_H
#define CS_VMM_LAZY_MAPPING_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/bitmap.h"

typedef enum
{
  CS_MAPPING_ANONYMOUS,
  CS_MAPPING_SHARED_MEMORY, /* memfd, tmpfs: pages live in the file */
  CS_MAPPING_OTHER,         /* private file mapping, huge pages, a device, holes */
} CsMappingKind;

/* All that a process has mapped, as it was when this was read: reading it takes as long for one
 * range as for many. */
typedef struct CsMappings CsMappings;

CsMappings *cs_mappings_read (pid_t pid, GError **error);
void cs_mappings_free (CsMappings *mappings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsMappings, cs_mappings_free)

/* What is mapped at the range. */
CsMappingKind cs_mappings_kind (const CsMappings *mappings, guint64 start, guint64 length);

/* The same, of process @pid now. */
bool cs_mapping_kind (pid_t pid, guint64 start, guint64 length, CsMappingKind *kind,
                      GError **error);
/* How many bytes of the range are registered with some userfaultfd for missing pages. */
bool cs_mapping_missing_mode (pid_t pid, guint64 start, guint64 length, guint64 *missing,
                              GError **error);
/* Shared memory: frees the pages of the file that lie under the range. */
bool cs_mapping_punch (pid_t pid, guint64 start, guint64 length, GError **error);

/* ORs the pages of the range that process @pid has present, and with @swapped those swapped
 * out (write-protection markers of the kernel count as swapped), into @pages (bit 0: @start). */
bool cs_mapping_present (pid_t pid, guint64 start, guint64 length, bool swapped, CsBitmap *pages,
                         GError **error);

/* Writes @length bytes into process @pid's memory (process_vm_writev). */
bool cs_mapping_write (pid_t pid, guint64 start, const void *data, gsize length, GError **error);

#endif
