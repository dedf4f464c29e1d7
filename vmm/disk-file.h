/* A QEMU's image files, opened from the host. */
#ifndef CS_VMM_DISK_FILE_H
#define CS_VMM_DISK_FILE_H

#include "vmm/block-graph.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Opens @path read-only as process @pid would find it: in its mount namespace and, where the
 * path is relative, from its working directory.  -1 with @error. */
int cs_disk_file_open (pid_t pid, const char *path, GError **error);

/* Whether @name names no file to QEMU: "nbd:...", "json:...", "http://...". */
bool cs_disk_file_has_protocol (const char *name);

/* @path made absolute by process @pid's working directory. */
char *cs_disk_file_absolute (pid_t pid, const char *path, GError **error);

/* The node of process @pid with driver @driver whose file is at @path.  Borrowed from @graph; NULL:
 * none. */
const char *cs_disk_file_node (const CsBlockGraph *graph, pid_t pid, const char *driver,
                               const char *path);

#endif
