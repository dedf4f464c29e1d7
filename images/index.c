/* Theory of operation
 *
 * One LMDB environment with two databases:
 *
 *   pages      SHA-256 (32 bytes) -> location (8 bytes, little-endian), check (4 bytes)
 *   segments   number (4 bytes, native) -> nonce (8 bytes, native)
 *
 * "segments" lists the segments whose pages are all in "pages" (but those that a
 * rewriting took out).  A row is removed in the transaction that takes pages out and set again
 * when the segment's new version is published; a segment is added with its row in one
 * transaction.  So, whatever is interrupted, cs_index_match sees on the next opening
 * what has to be added, and that a segment number now means something else.
 *
 * The map grows by doubling: mdb_env_set_mapsize wants no transaction to be active, hence
 * the reader-writer lock around all of them.
 *
 * An index that cannot be used or written (full disk, damage) is given up for the life of
 * the process: nothing is found in it, so that pages are stored again, and the next opening
 * builds it anew.  A cache must not keep anybody from a snapshot, nor gc from making room.
 *
 * Not done: an index whose tree pages were altered behind its back can mislead LMDB
 * itself; only the length of the file and its meta pages are checked before use. */
#include "config.h"

#include "images/index-private.h"

#include "common/error.h"
#include "images/index-state.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define INITIAL_MAP ((gsize)256 << 20)
#define MAX_READERS 512

static bool
set_lmdb_error (const CsIndex *index, int status, GError **error)
{
  if (status > 0)
    return cs_error_set_errno (error, status, "cannot write index '%s'", index->directory);
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "cannot write index '%s': %s", index->directory,
               mdb_strerror (status));
  return false;
}

static int
open_databases (CsIndex *index)
{
  MDB_txn *transaction;
  int status = mdb_txn_begin (index->env, NULL, 0, &transaction);
  if (status != 0)
    return status;
  if ((status = mdb_dbi_open (transaction, "pages", MDB_CREATE, &index->pages)) == 0)
    status = mdb_dbi_open (transaction, "segments", MDB_CREATE | MDB_INTEGERKEY, &index->segments);
  if (status == 0)
    return mdb_txn_commit (transaction);
  mdb_txn_abort (transaction);
  return status;
}

/* A file cut off behind the pages it claims to have would end in SIGBUS. */
static int
check_file_length (CsIndex *index)
{
  MDB_envinfo info;
  MDB_stat stat_;
  struct stat st;
  mdb_filehandle_t fd;
  int status;
  if ((status = mdb_env_info (index->env, &info)) != 0
      || (status = mdb_env_stat (index->env, &stat_)) != 0
      || (status = mdb_env_get_fd (index->env, &fd)) != 0)
    return status;
  if (fstat (fd, &st) < 0)
    return errno;
  return (guint64)st.st_size < (guint64)(info.me_last_pgno + 1) * stat_.ms_psize ? MDB_CORRUPTED
                                                                                 : 0;
}

/* LMDB does that for its lock file only. */
static int
close_on_exec (CsIndex *index)
{
  mdb_filehandle_t fd;
  int status = mdb_env_get_fd (index->env, &fd);
  return status == 0 && fcntl (fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : status;
}

static int
open_environment (CsIndex *index)
{
  int status = mdb_env_create (&index->env);
  if (status != 0)
    return status;
  if ((status = mdb_env_set_maxdbs (index->env, 2)) == 0
      && (status = mdb_env_set_maxreaders (index->env, MAX_READERS)) == 0
      && (status = mdb_env_set_mapsize (index->env, INITIAL_MAP)) == 0
      && (status = mdb_env_open (index->env, index->directory,
                                 MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600))
             == 0
      && (status = close_on_exec (index)) == 0 && (status = check_file_length (index)) == 0)
    status = open_databases (index);
  if (status != 0)
    g_clear_pointer (&index->env, mdb_env_close);
  return status;
}

static void
wipe (const char *directory)
{
  static const char *const names[] = { "data.mdb", "lock.mdb" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (directory, names[i], NULL);
      g_unlink (path);
    }
}

/* Opens, or opens afresh; false with nothing open. */
static bool
try_open (CsIndex *index)
{
  if (g_mkdir (index->directory, 0700) < 0 && errno != EEXIST)
    return false;
  if (!cs_index_state_is_sound (index->directory))
    wipe (index->directory);
  if (open_environment (index) != 0)
    {
      wipe (index->directory);
      if (open_environment (index) != 0)
        return false;
    }
  if (cs_index_state_set_open (index->directory, NULL))
    return true;
  g_clear_pointer (&index->env, mdb_env_close);
  return false;
}

CsIndex *
cs_index_open (const char *directory)
{
  CsIndex *index = g_new0 (CsIndex, 1);
  index->directory = g_strdup (directory);
  g_rw_lock_init (&index->map_lock);
  g_mutex_init (&index->write_lock);
  index->given_up = !try_open (index);
  return index;
}

void
cs_index_close (CsIndex *index)
{
  if (index == NULL)
    return;
  /* Failing, it stays "open": rebuilt after the next start of the host. */
  if (!index->given_up && mdb_env_sync (index->env, 1) == 0)
    cs_index_state_set_clean (index->directory, NULL);
  if (index->env != NULL)
    mdb_env_close (index->env);
  g_rw_lock_clear (&index->map_lock);
  g_mutex_clear (&index->write_lock);
  g_free (index->directory);
  g_free (index);
}

void
cs_index_give_up (CsIndex *index)
{
  g_rw_lock_writer_lock (&index->map_lock);
  index->given_up = true;
  wipe (index->directory);
  g_rw_lock_writer_unlock (&index->map_lock);
}

static int
write_once (CsIndex *index, CsIndexWriteFunc func, const void *arguments)
{
  MDB_txn *transaction;
  int status = 0;
  g_rw_lock_reader_lock (&index->map_lock);
  if (!index->given_up && (status = mdb_txn_begin (index->env, NULL, 0, &transaction)) == 0)
    {
      status = func (index, transaction, arguments);
      if (status == 0)
        status = mdb_txn_commit (transaction);
      else
        mdb_txn_abort (transaction);
    }
  g_rw_lock_reader_unlock (&index->map_lock);
  return status;
}

static int
grow (CsIndex *index)
{
  MDB_envinfo info;
  g_rw_lock_writer_lock (&index->map_lock);
  int status = mdb_env_info (index->env, &info);
  if (status == 0)
    status = mdb_env_set_mapsize (index->env, info.me_mapsize * 2);
  g_rw_lock_writer_unlock (&index->map_lock);
  return status;
}

bool
cs_index_write (CsIndex *index, CsIndexWriteFunc func, const void *arguments, GError **error)
{
  g_mutex_lock (&index->write_lock);
  int status;
  while ((status = write_once (index, func, arguments)) == MDB_MAP_FULL)
    if ((status = grow (index)) != 0)
      break;
  g_mutex_unlock (&index->write_lock);
  return status == 0 || set_lmdb_error (index, status, error);
}
