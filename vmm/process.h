/* Finding QEMU's process, and knowing whether it still lives. */
#ifndef CS_VMM_PROCESS_H
#define CS_VMM_PROCESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The process that serves the connected unix socket @fd.  SO_PEERCRED names who called listen(),
 * which a manager may have done for QEMU; so it must hold the other end of our connection in
 * /proc/PID/fd, else all processes are searched for the one that does.  0 with @error. */
pid_t cs_process_of_socket (int fd, GError **error);

/* The QEMU of libvirt's domain @name with UUID @uuid: its arguments are `-name guest=NAME,…` and
 * `-uuid UUID`.  0 with @error: NOT_FOUND, or STATE when there are two. */
pid_t cs_process_of_domain (const char *name, const char *uuid, GError **error);

/* A process whose first arguments are all of @arguments; 0: none. */
pid_t cs_process_of_arguments (const char *const *arguments);
/* A process of program @program (the last part of its first argument) that has an argument which
 * holds @text; 0: none. */
pid_t cs_process_of_program (const char *program, const char *text);

/* The arguments of process @pid, GONE when there is none. */
GStrv cs_process_arguments (pid_t pid, GError **error);

/* Field 22 of /proc/PID/stat: with the pid it names a process for good; 0: no such process. */
guint64 cs_process_start_time (pid_t pid);

/* Called for a descriptor of another process: our own copy of it, closed afterwards, and what
 * /proc/PID/fd calls it. */
typedef void (*CsDescriptorFunc) (int fd, const char *target, gpointer data);
/* For every descriptor of @pid whose target begins with @prefix, taken by pidfd_getfd; those that
 * cannot be taken are left out. */
bool cs_process_each_descriptor (pid_t pid, const char *prefix, CsDescriptorFunc func,
                                 gpointer data, GError **error);

/* A pidfd of @pid. */
int cs_process_open (pid_t pid, GError **error);
/* Whether the process of @pidfd has ended.  Any thread. */
bool cs_process_has_ended (int pidfd);
/* The same, but waits for it, at most @limit us. */
bool cs_process_wait_end (int pidfd, gint64 limit);

#endif
