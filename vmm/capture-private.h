/* What the files of a capture share: capture.c, capture-precopy.c, capture-pause.c,
 * capture-store.c. */
#ifndef CS_VMM_CAPTURE_PRIVATE_H
#define CS_VMM_CAPTURE_PRIVATE_H

#include "vmm/capture.h"
#include "vmm/devstate.h"
#include "vmm/disk.h"
#include "vmm/pages.h"

struct CsCapture
{
  /* immutable */
  CsVm *vm;
  CsStore *store;
  char *scratch_directory;
  gint64 pause_deadline;
  guint max_rounds;
  gint64 quiesce_deadline;
  CsAgent *agent; /* the worker's, but for cs_agent_cancel */

  /* worker only */
  CsMonitor *monitor; /* the VM's */
  CsTracker *tracker; /* the VM's */
  GPtrArray *blocks;  /* of CsRamBlock */
  GPtrArray *disks;   /* of CsDisk */
  json_object *source;
  json_object *summary;
  bool incremental;
  bool committed;
  char *bitmap; /* of this snapshot */
  CsImageWriter *writer;
  CsPages *pages;
  CsDeviceState *devices;
  CsDiskCapture *disk_capture;
  char *image;
  CsCaptureStats stats;

  /* under lock */
  GMutex lock;
  GCond changed;
  bool paused;
  bool ended;     /* cs_capture_pause has returned */
  bool permitted; /* to resume */
  bool cancelled;
};

/* Sets one of the flags under the lock and wakes who waits for it. */
void cs_capture_raise (CsCapture *capture, bool *flag);
bool cs_capture_check_cancelled (CsCapture *capture, GError **error);
/* cont, with time of its own: a deadline that has passed must not keep the VM paused. */
bool cs_capture_cont (CsCapture *capture, GError **error);

#endif
