/* The tap devices through which a process (QEMU) sends and gets frames. */
#ifndef CS_VMM_TAP_H
#define CS_VMM_TAP_H

#include <glib.h>
#include <sys/types.h>

typedef struct
{
  char *name;    /* in its namespace */
  guint index;   /* there; a device that is made anew has another one */
  guint64 netns; /* cs_netns_id */
  int netns_fd;  /* of the namespace that the device is in, which need not be QEMU's */
} CsTap;

/* GPtrArray of CsTap; one with several queues comes once. */
GPtrArray *cs_taps_of_process (pid_t pid, GError **error);
void cs_tap_free (CsTap *tap);

#endif
