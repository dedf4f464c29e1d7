/* File descriptors: scope-bound closing, whole reads and writes, and the one
 * durable commit that every file of clusnap goes through. */
#ifndef CS_COMMON_FD_H
#define CS_COMMON_FD_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

static inline void
cs_fd_cleanup (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* int of this kind is closed when it leaves its scope; initialise it (-1). */
#define cs_autofd __attribute__ ((cleanup (cs_fd_cleanup)))

/* Takes the descriptor out of *@fd and leaves -1 there. */
static inline int
cs_fd_steal (int *fd)
{
  int taken = *fd;
  *fd = -1;
  return taken;
}

/* Writes all @length bytes (pwrite at @offset, or write where @offset is -1).
 * @name is what error messages call the file. */
bool cs_fd_write_all (int fd, const void *data, gsize length, off_t offset, const char *name,
                      GError **error);

/* Reads exactly @length bytes; the end of the file before that is CORRUPT. */
bool cs_fd_read_all (int fd, void *data, gsize length, off_t offset, const char *name,
                     GError **error);

/* Replaces or creates @path so that after a crash at any moment either the old
 * or the whole new content is there: temporary file in the same directory
 * (O_EXCL, 0600), write, fsync, rename, fsync of the directory.  With
 * @replace false an existing @path is EXISTS. */
bool cs_file_commit (const char *path, const void *data, gsize length, bool replace,
                     GError **error);

/* The same for a file that was written elsewhere in the same file system: fsync
 * of @fd (open on @temporary), rename to @path, fsync of the directory. */
bool cs_file_commit_fd (int fd, const char *temporary, const char *path, bool replace,
                        GError **error);

/* The same for what tells of processes and need not outlive the host: whoever reads @path finds the
 * old or the whole new content, whenever we die, but nothing waits for a disk. */
bool cs_file_replace (const char *path, const void *data, gsize length, GError **error);

/* fsync of the directory that holds @path. */
bool cs_directory_sync_of (const char *path, GError **error);

#endif
