/* What the files of the lazy disks share: lazy-disks.c (the record), lazy-disks-fill.c (QEMU's
 * jobs), lazy-disks-offline.c (QEMU has ended). */
#ifndef CS_VMM_LAZY_DISKS_PRIVATE_H
#define CS_VMM_LAZY_DISKS_PRIVATE_H

#include "vmm/disk-serve.h"
#include "vmm/lazy-aside.h"
#include "vmm/lazy-disks.h"

typedef struct
{
  char *name;
  char *filename;
  guint64 size;
  CsDisk *form;       /* of one with: */
  CsLazyAside *aside; /* NULL: a stream job fills it in its place */
  bool complete;
  bool waits; /* for the VM to stand */
  bool begun; /* its job, which nobody has held since */
  bool told;  /* that the job has failed */
} CsLazyDisk;

struct CsLazyDisks
{
  /* immutable */
  CsStore *store;
  char *image;
  char *root;
  char *socket;
  char *directory;  /* the socket's */
  char *uri, *uuid; /* of a libvirt domain; NULL: a bare QEMU */
  guint64 rate;     /* bytes/s for each disk, 0: unbounded */
  uid_t uid;
  gid_t gid;

  CsDiskServe *serve;
  GPtrArray *disks; /* CsLazyDisk */
  guint turn;       /* which of them libvirt may pull next */
  bool kept;

  /* atomic */
  gint complete;
  guint64 done, total;
};

/* What stands for the stored disk @name as a backing image (g_free). */
char *cs_lazy_disks_backing (const CsLazyDisks *lazy, const char *name);
/* Starts the server, unless it runs. */
bool cs_lazy_disks_serve (CsLazyDisks *lazy, GError **error);
/* When all disks are complete, server and root go. */
void cs_lazy_disks_check_complete (CsLazyDisks *lazy);

#endif
