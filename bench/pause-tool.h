/* A way of saving VMs that pauses them; what bench/pause compares. */
#ifndef CS_BENCH_PAUSE_TOOL_H
#define CS_BENCH_PAUSE_TOOL_H

#include "vmm/monitor.h"

typedef struct
{
  CsMonitor *monitor;
  guint number;          /* of the VM, from 0 */
  const char *directory; /* for scratch files, or for what is saved */
  gpointer state;        /* the method's, between prepare and finish */
} CsPauseVm;

/* Every VM has a thread; the methods of one VM are called in order, those of all VMs at once. */
typedef struct
{
  const char *name;
  bool (*prepare) (CsPauseVm *vm, GError **error);
  /* Begins when all are prepared. */
  bool (*pause) (CsPauseVm *vm, GError **error);
  /* When all VMs have come through pause.  NULL: nothing. */
  bool (*resume) (CsPauseVm *vm, GError **error);
  bool (*finish) (CsPauseVm *vm, GError **error);
} CsPauseMethod;

/* stop, device state, disk switch, cont: the least that a snapshot of memory, devices and disks can
 * do.  With @together no VM resumes before all are captured. */
extern const CsPauseMethod cs_pause_floor, cs_pause_floor_together;

/* QEMU's own: migration to a file, live, or while the VM is stopped (mapped-ram, multifd), and
 * background-snapshot. */
extern const CsPauseMethod cs_pause_live, cs_pause_stopped, cs_pause_background;

/* snapshot-load of its own device state, cont: the least that a way back in place can do.  The VM
 * stands before it, and nothing is done about memory and disks. */
extern const CsPauseMethod cs_pause_reload;

/* savevm, a second of running, loadvm: its last pause is the way back. */
extern const CsPauseMethod cs_pause_loadvm;

#endif
