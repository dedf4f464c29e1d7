/* One VM known to this daemon: its worker, and what its next snapshot starts from.
 *
 * Between snapshots the daemon holds no monitor connection (a bare QEMU's socket stays free for
 * others) but keeps the tracker: the userfaultfd is what makes the next snapshot incremental.
 *
 * Threads: a job claims the VM (cs_vm_claim) and then works on it in its worker only. Lock order:
 * none is taken while another is held.
 */
#ifndef CS_VMM_VM_H
#define CS_VMM_VM_H

#include "vmm/process.h"
#include "vmm/restore.h"
#include "vmm/worker.h"

/* What the last sealed (or restored) snapshot left: the next one is a delta to it. */
typedef struct
{
  CsStore *store;     /* of the image; borrowed: stores stay open while the daemon runs */
  char *image;        /* pinned in the store */
  char *snapshot;     /* the name of the snapshot that holds it */
  char *bitmap;       /* active dirty bitmap on every disk, or NULL */
  GHashTable *disks;  /* name -> size as string: those that have the bitmap */
  GHashTable *blocks; /* RAM blocks of the image: name -> CsBitmap of the pages that scans
                         consumed since (rule 3); a block that is not here, or has
                         another size, must be read as a whole */
} CsVmBase;

typedef struct CsVm
{
  /* immutable */
  char *key;
  CsVmRef *ref;
  CsWorker *worker;

  /* worker only */
  CsMonitor *monitor; /* NULL between jobs */
  CsTracker *tracker; /* NULL: the next snapshot is complete */
  pid_t pid;          /* of the QEMU that tracker and base belong to; 0: none */
  guint64 start_time; /* of that process, /proc/PID/stat field 22 */
  CsVmBase *base;     /* NULL: the next snapshot is complete */

  /* under lock */
  GMutex lock;
  char *claimed_by; /* "snapshot 'demo/s1'"; NULL: free */
  bool claim_is_brief;
  GCond unclaimed;
  char *base_image; /* of base, while that QEMU lives: base_pid and base_start_time */
  pid_t base_pid;
  guint64 base_start_time;
  GCond fill_ended;
  CsRestore *filling; /* set while the memory of a restore is still arriving; owned */
  guint64 fill_pages; /* of the last restore, once it has ended */
  guint64 fill_faults;
  guint64 fill_disk_bytes;
  guint64 fill_prefetched;
  gint64 fill_ended_at; /* CLOCK_MONOTONIC */
  char *fill_failure;   /* NULL: all is there */
} CsVm;

typedef struct CsVmTable CsVmTable;

CsVmTable *cs_vm_table_new (void);
void cs_vm_table_free (CsVmTable *table);
/* The VM of @ref, made on first mention; lives as long as the table.  Any thread. */
CsVm *cs_vm_table_get (CsVmTable *table, const CsVmRef *ref);

/* Whether a VM that runs is based on one of array @images (its next snapshot is a delta to it).
 * Looks at no VM.  Any thread. */
bool cs_vm_table_is_based_on (CsVmTable *table, json_object *images);

/* For one job at a time; BUSY names the holder.  Any thread. */
bool cs_vm_claim (CsVm *vm, const char *holder, GError **error);
/* The same for what takes a moment only (looking at the VM, the end of a restore): who wants the
 * VM meanwhile waits for that, up to 30 s, rather than being told that it is busy. */
bool cs_vm_claim_briefly (CsVm *vm, const char *holder, GError **error);
void cs_vm_release (CsVm *vm);

/* Worker: forgets all, before the VM is started anew. */
void cs_vm_reset (CsVm *vm);
/* Worker: takes @base as what the QEMU that @monitor talks to was restored from. */
void cs_vm_adopt (CsVm *vm, CsMonitor *monitor, CsVmBase *base);

/* Any thread: takes @restore, whose memory is still arriving. */
void cs_vm_set_filling (CsVm *vm, CsRestore *restore);
CsRestore *cs_vm_filling (CsVm *vm); /* borrowed; NULL: no */
/* Worker: the memory is there (@failure NULL), or cannot come.  Takes over from the restore. */
void cs_vm_end_filling (CsVm *vm, const char *failure);
/* Any thread: all pages are in place, or none will come any more; cs_vm_end_filling may be called.
 */
bool cs_vm_fill_is_complete (CsVm *vm);
/* Any thread: the memory is there, disks are still being filled. */
bool cs_vm_disks_are_filling (CsVm *vm);
/* Any thread: true when no memory is arriving; waits at most @timeout us. */
bool cs_vm_wait_filled (CsVm *vm, gint64 timeout);

typedef struct
{
  guint64 done, total;           /* pages */
  guint64 faults;                /* times that the guest waited for a page */
  guint64 prefetched;            /* pages */
  guint64 disk_done, disk_total; /* bytes of disks filled while the VM runs */
  gint64 ended_at;               /* 0: not yet */
  char *failure;                 /* passes to the caller */
} CsVmFill;
/* Any thread. */
void cs_vm_fill (CsVm *vm, CsVmFill *fill);

/* Worker: connects; forgets tracker and base when they belong to a QEMU that is gone. */
bool cs_vm_open (CsVm *vm, GError **error);
void cs_vm_close (CsVm *vm);

/* Worker, after cs_vm_open: the connection and the tracker in force (while memory is still arriving
 * they belong to the restore); the tracker may be NULL. */
CsMonitor *cs_vm_monitor (CsVm *vm);
CsTracker *cs_vm_tracker (CsVm *vm);

/* Worker: forgets what an incremental snapshot would start from. */
void cs_vm_forget_base (CsVm *vm);
/* Takes @base (cs_vm_base_free'd when replaced) and pins its image. */
void cs_vm_set_base (CsVm *vm, CsVmBase *base);

/* @tracker: whose blocks the image holds.  @bitmap and @disks may be NULL. */
CsVmBase *cs_vm_base_new (CsStore *store, const char *image, CsTracker *tracker, const char *bitmap,
                          GPtrArray *disks);
void cs_vm_base_free (CsVmBase *base);
/* Whether every one of @disks has the base's bitmap and its old size. */
bool cs_vm_base_has_disks (const CsVmBase *base, GPtrArray *disks);

#endif
