/* The capture of one VM for a snapshot: what its worker does in each stage.
 *
 * Theory of operation: capture.c. Stages and their undo: stages.h.
 */
#ifndef CS_VMM_CAPTURE_H
#define CS_VMM_CAPTURE_H

#include "vmm/agent.h"
#include "vmm/vm.h"

typedef struct CsCapture CsCapture;

typedef struct
{
  CsStore *store;                /* borrowed */
  const char *scratch_directory; /* for the disks' scratch files (unlinked at once); copied */
  gint64 pause_deadline;         /* us from the command to stop until the VM must run again */
  guint max_rounds;              /* micro-pauses that may shrink the remainder */
  CsAgentPolicy agent;
  gint64 quiesce_deadline; /* us that the guest's agent may take */
} CsCaptureOptions;

/* Microseconds and counts, for reports. */
typedef struct
{
  gint64 paused_at;  /* CLOCK_MONOTONIC when it stood */
  gint64 resumed_at; /* when it ran again */
  gint64 pause;      /* from the command to stop until it ran again */
  gint64 stop, scan, devices, disks, copy, wait, cont;
  gint64 micro_pause;  /* the longest */
  gint64 stop_latency; /* of the micro-pauses, the longest */
  guint rounds;
  guint64 pages;     /* distinct pages taken, zero ones included */
  guint64 cut_pages; /* of those: copied in the pause */
  guint64 device_bytes;
  guint64 disk_bytes; /* read from the disks' changed extents */
  CsImageStats image;
} CsCaptureStats;

/* Worker.  CHECK: connects and makes sure that the VM can be captured; changes nothing in it. */
CsCapture *cs_capture_new (CsVm *vm, const CsCaptureOptions *options, GError **error);

/* What the guest's participants are told about themselves: the VM's interval now, and the one that
 * this snapshot begins (docs/dependencies.md).  Before cs_capture_quiesce; both are 0 without it.
 */
void cs_capture_set_intervals (CsCapture *capture, guint64 present, guint64 next);
/* Worker.  QUIESCE: has the guest's agent, if there is one, prepare what runs there (agent.h).  It
 * is told to go on as soon as the VM runs again, or when the capture is freed. */
bool cs_capture_quiesce (CsCapture *capture, GError **error);
/* After cs_capture_quiesce: on which VMs' intervals this one depends as its guest says,
 * [{"vm": name, "interval": n}, ...]; NULL when no agent was asked or none answered.  Borrowed. */
json_object *cs_capture_agent_dependencies (const CsCapture *capture);
/* Adds to @report: "agent": "quiesced", "none", "off" or what went wrong, and if it was quiesced
 * "quiesce": us that it took. */
void cs_capture_report_agent (const CsCapture *capture, json_object *report);

/* Worker.  PRECOPY: prepares disks and device state, then shrinks the set of pages that the pause
 * must copy. */
bool cs_capture_precopy (CsCapture *capture, GError **error);
/* Worker.  The same again when other VMs of the cluster took longer. */
bool cs_capture_settle (CsCapture *capture, GError **error);
/* Worker.  Sets *@settled to whether few pages enough are left now for the pause to be short. */
bool cs_capture_is_settled (CsCapture *capture, bool *settled, GError **error);

/* Worker.  PAUSE, CAPTURE and RESUME: returns when the VM runs again, which it does once resuming
 * is permitted and its own capture is complete, or at the deadline, or when the capture failed. */
bool cs_capture_pause (CsCapture *capture, GError **error);
/* Any other thread: waits until the VM stands (true) or cs_capture_pause has ended without (false;
 * its error tells why). */
bool cs_capture_wait_paused (CsCapture *capture);
/* Any thread: all VMs of the cluster stand. */
void cs_capture_permit_resume (CsCapture *capture);
/* Any thread: ends waiting and long work as soon as may be; the VM runs on. */
void cs_capture_cancel (CsCapture *capture);

/* Worker.  STORE: hands everything to the image writer; @progress may be NULL. */
bool cs_capture_store (CsCapture *capture, CsProgressFunc progress, void *data, GError **error);
/* The image's id; after cs_capture_store. */
const char *cs_capture_image (const CsCapture *capture);
/* The VM's document for the manifest (docs/manifest.md).  New reference. */
json_object *cs_capture_document (const CsCapture *capture);

/* Worker.  The snapshot is sealed: the next one is a delta to it. */
void cs_capture_commit (CsCapture *capture);

/* Worker.  Takes everything of ours out of the VM.  Without commit, what scans consumed is kept for
 * the next snapshot (rule 3). */
void cs_capture_free (CsCapture *capture);

CsVm *cs_capture_vm (const CsCapture *capture);
bool cs_capture_is_incremental (const CsCapture *capture);
const CsCaptureStats *cs_capture_stats (const CsCapture *capture);
/* What the check found: memory in bytes, number of disks. */
guint64 cs_capture_memory (const CsCapture *capture);
guint cs_capture_n_disks (const CsCapture *capture);

#endif
