/* The document of one VM in a snapshot's manifest (docs/manifest.md), validated for a restore. */
#ifndef CS_VMM_RESTORE_DOCUMENT_H
#define CS_VMM_RESTORE_DOCUMENT_H

#include "images/image.h"
#include "vmm/disk.h"

typedef struct
{
  char *name;
  guint64 length;
  guint64 page_size;
  guint volume; /* of the image */
} CsRestoreBlock;

typedef struct
{
  char *name;
  char *image;
  char *machine;
  guint version[3];     /* of the QEMU that was saved */
  json_object *vm;      /* all of it, as it stands in the manifest */
  json_object *source;  /* vmm/source.h */
  GArray *blocks;       /* of CsRestoreBlock, in QEMU's order */
  GPtrArray *disks;     /* of CsDisk */
  GArray *disk_volumes; /* of guint */
  guint device_volume;
} CsRestoreDocument;

/* INVALID with the member's name. */
CsRestoreDocument *cs_restore_document_parse (json_object *vm, GError **error);
void cs_restore_document_free (CsRestoreDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRestoreDocument, cs_restore_document_free)

/* Finds the volumes of all that the document names, with the right lengths: CORRUPT. */
bool cs_restore_document_bind (CsRestoreDocument *document, CsImage *image, GError **error);

/* Whether the QEMU that was started can load it: at least the version that was saved, the same
 * machine type.  UNSUPPORTED, STATE. */
bool cs_restore_document_check_qemu (const CsRestoreDocument *document, CsMonitor *monitor,
                                     GError **error);

#endif
