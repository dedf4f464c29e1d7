/* Network namespaces: entered by one thread for a moment. */
#ifndef CS_VMM_NETNS_H
#define CS_VMM_NETNS_H

#include <glib.h>
#include <stdbool.h>

/* The inode of the namespace that @fd is open on, its name for as long as it exists; 0: none. */
guint64 cs_netns_id (int fd);

/* Moves the calling thread into the namespace of @fd.  *@home: for cs_netns_leave. */
bool cs_netns_enter (int fd, int *home, GError **error);
/* Back home, or the process ends: a thread in a wrong namespace must do nothing. */
void cs_netns_leave (int *home);

/* A descriptor of the namespace with inode @id: our own one, or one of /run/netns; -1: none. */
int cs_netns_find (guint64 id);

#endif
