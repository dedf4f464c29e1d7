#include "config.h"

#include "common/fd.h"

#include "common/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

bool
cs_fd_write_all (int fd, const void *data, gsize length, off_t offset, const char *name,
                 GError **error)
{
  const char *next = data;
  while (length > 0)
    {
      ssize_t n = offset < 0 ? write (fd, next, length) : pwrite (fd, next, length, offset);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return cs_error_set_errno (error, errno, "cannot write '%s'", name);
      next += n;
      length -= (gsize)n;
      if (offset >= 0)
        offset += n;
    }
  return true;
}

bool
cs_fd_read_all (int fd, void *data, gsize length, off_t offset, const char *name, GError **error)
{
  char *next = data;
  while (length > 0)
    {
      ssize_t n = offset < 0 ? read (fd, next, length) : pread (fd, next, length, offset);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return cs_error_set_errno (error, errno, "cannot read '%s'", name);
      if (n == 0)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                       "'%s' is truncated: %zu bytes are missing", name, length);
          return false;
        }
      next += n;
      length -= (gsize)n;
      if (offset >= 0)
        offset += n;
    }
  return true;
}

bool
cs_directory_sync_of (const char *path, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  cs_autofd int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open directory '%s'", directory);
  if (fsync (fd) < 0)
    return cs_error_set_errno (error, errno, "cannot flush directory '%s'", directory);
  return true;
}

static bool
rename_to (const char *temporary, const char *path, bool replace, GError **error)
{
  if (renameat2 (AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) == 0)
    return true;
  if (errno != EEXIST)
    return cs_error_set_errno (error, errno, "cannot rename '%s' to '%s'", temporary, path);
  g_set_error (error, CS_ERROR, CS_ERROR_EXISTS, "'%s' exists already", path);
  return false;
}

bool
cs_file_commit_fd (int fd, const char *temporary, const char *path, bool replace, GError **error)
{
  if (fsync (fd) < 0)
    return cs_error_set_errno (error, errno, "cannot flush '%s'", temporary);
  return rename_to (temporary, path, replace, error) && cs_directory_sync_of (path, error);
}

static bool
write_beside (const char *path, const void *data, gsize length, bool replace, bool durable,
              GError **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.%d.%08x.tmp", path, getpid (), g_random_int ());
  cs_autofd int fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot create '%s'", temporary);
  if (cs_fd_write_all (fd, data, length, -1, temporary, error)
      && (durable ? cs_file_commit_fd (fd, temporary, path, replace, error)
                  : rename_to (temporary, path, replace, error)))
    return true;
  unlink (temporary);
  return false;
}

bool
cs_file_commit (const char *path, const void *data, gsize length, bool replace, GError **error)
{
  return write_beside (path, data, length, replace, true, error);
}

bool
cs_file_replace (const char *path, const void *data, gsize length, GError **error)
{
  return write_beside (path, data, length, true, false, error);
}
