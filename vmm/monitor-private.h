/* What a transport of CsMonitor is. */
#ifndef CS_VMM_MONITOR_PRIVATE_H
#define CS_VMM_MONITOR_PRIVATE_H

#include "vmm/event-queue.h"
#include "vmm/monitor.h"
#include "vmm/qmp.h"

typedef struct
{
  /* All may be called with QEMU already gone (then GONE); deadlines are absolute. */
  void (*close) (CsMonitor *monitor);
  bool (*is_open) (const CsMonitor *monitor); /* any thread */
  bool (*execute) (CsMonitor *monitor, const char *command, json_object *arguments, int fd,
                   gint64 deadline, json_object **result, GError **error);
  json_object *(*wait_event) (CsMonitor *monitor, const char *event, const char *key,
                              const char *value, gint64 deadline, GError **error);
  void (*drain) (CsMonitor *monitor); /* takes in the events that have arrived */
  /* NULL: the QMP commands of that name. */
  bool (*stop) (CsMonitor *monitor, gint64 deadline, GError **error);
  bool (*cont) (CsMonitor *monitor, gint64 deadline, GError **error);
  char *(*xml) (CsMonitor *monitor, GError **error); /* NULL: no libvirt domain */
  /* A command of the guest agent; BUSY while it cannot be reached.  NULL: no libvirt domain. */
  bool (*agent) (CsMonitor *monitor, const char *text, gint64 deadline, char **reply,
                 GError **error);
} CsMonitorClass;

/* The head of each transport's own struct. */
struct CsMonitor
{
  /* Immutable once opened: */
  const CsMonitorClass *class;
  char *name;
  pid_t pid;
  int pidfd; /* or -1 */
  CsQemuVersion version;
  CsEventQueue *events;

  /* Owner only: */
  gint64 deadline; /* 0: the default per command */
  GArray *vcpus;   /* of pid_t: threads; NULL: not known */
  int watch;       /* cs_watchdog_begin's while @stopped, or -1 */
  bool stopped;    /* a stop was sent and no cont has succeeded since */
  gint64 resumed_at;
};

void cs_monitor_init (CsMonitor *monitor, const CsMonitorClass *class);

/* UNSUPPORTED for a QEMU that clusnap cannot capture. */
bool cs_monitor_check_version (CsMonitor *monitor, GError **error);

/* Sets pid and pidfd; a process that ended meanwhile is GONE. */
bool cs_monitor_set_pid (CsMonitor *monitor, pid_t pid, GError **error);

#endif
