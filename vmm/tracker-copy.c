#include "config.h"

#include "common/error.h"
#include "vmm/tracker-private.h"

#include <errno.h>
#include <string.h>

/* One call moves at most this much (MAX_RW_COUNT is 2 GiB less a page). */
#define MAX_BYTES (G_GUINT64_CONSTANT (1) << 30)

/* Where a copy stands within its runs. */
typedef struct
{
  const CsPageRun *runs;
  gsize n;
  char *buffer;            /* where the next byte of ours is; or */
  const void *const *data; /* for each run, where it begins; NULL: all lie in buffer */
  gsize run;               /* the first one not wholly batched */
  guint64 done;            /* bytes of it that are */
} Cursor;

/* Fills tracker->remote and ->local from @cursor on; the number of entries in *@n_remote and
 * *@n_local.  False at the end. */
static bool
next_batch (CsTracker *tracker, const CsRamBlock *block, Cursor *cursor, gsize *n_remote,
            gsize *n_local)
{
  gsize used = 0;
  guint64 bytes = 0;
  while (cursor->run < cursor->n && used < CS_TRACKER_BATCH && bytes < MAX_BYTES)
    {
      const CsPageRun *run = &cursor->runs[cursor->run];
      guint64 pages = cs_tracked_pages (block);
      g_assert (run->first <= pages && run->count <= pages - run->first);

      guint64 length = MIN (run->count * CS_PAGE_SIZE_HOST - cursor->done, MAX_BYTES - bytes);
      guint64 address = block->host + run->first * CS_PAGE_SIZE_HOST + cursor->done;
      if (cursor->data != NULL)
        cursor->buffer = (char *)(guintptr)cursor->data[cursor->run] + cursor->done;
      if (length > 0)
        {
          tracker->local[used] = (struct iovec){ cursor->buffer, (gsize)length };
          tracker->remote[used++] = (struct iovec){ (void *)(guintptr)address, (gsize)length };
        }
      bytes += length;
      cursor->buffer += length;
      cursor->done += length;
      if (cursor->done == run->count * CS_PAGE_SIZE_HOST)
        {
          cursor->run++;
          cursor->done = 0;
        }
    }
  *n_remote = *n_local = used;
  if (used == 0 || cursor->data != NULL)
    return used > 0;
  tracker->local[0].iov_len = (gsize)bytes;
  *n_local = 1;
  return true;
}

/* Drops the first @bytes bytes of the @n entries at *@vector. */
static gsize
advance (struct iovec **vector, gsize n, gsize bytes)
{
  while (n > 0 && bytes >= (*vector)->iov_len)
    {
      bytes -= (*vector)->iov_len;
      (*vector)++;
      n--;
    }
  if (n > 0)
    {
      (*vector)->iov_base = (char *)(*vector)->iov_base + bytes;
      (*vector)->iov_len -= bytes;
    }
  return n;
}

static bool
fail (const CsTracker *tracker, const CsRamBlock *block, const struct iovec *at, int errnum,
      GError **error)
{
  guint64 page = ((guint64)(guintptr)at->iov_base - block->host) / CS_PAGE_SIZE_HOST;
  if (errnum == ESRCH)
    g_set_error (error, CS_ERROR, CS_ERROR_GONE, "the process has ended");
  else if (errnum == EFAULT)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                 "page %" G_GUINT64_FORMAT " is not mapped as QEMU said it was", page);
  else
    cs_error_set_errno (error, errnum, "page %" G_GUINT64_FORMAT, page);
  return cs_tracker_prefix (tracker, block, error);
}

/* Moves one batch.  A transfer may end early, at a page that cannot be accessed; the next call then
 * says why. */
static bool
transfer (CsTracker *tracker, const CsRamBlock *block, gsize n_remote, gsize n_local, bool write,
          GError **error)
{
  struct iovec *remote = tracker->remote, *local = tracker->local;
  while (n_remote > 0)
    {
      ssize_t moved = write ? process_vm_writev (tracker->pid, local, n_local, remote, n_remote, 0)
                            : process_vm_readv (tracker->pid, local, n_local, remote, n_remote, 0);
      if (moved <= 0)
        return fail (tracker, block, remote, moved < 0 ? errno : EFAULT, error);
      n_local = advance (&local, n_local, (gsize)moved);
      n_remote = advance (&remote, n_remote, (gsize)moved);
    }
  return true;
}

static bool
copy (CsTracker *tracker, guint i, Cursor cursor, bool write, GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  gsize n_remote, n_local;
  while (next_batch (tracker, block, &cursor, &n_remote, &n_local))
    if (!transfer (tracker, block, n_remote, n_local, write, error))
      return false;
  return true;
}

bool
cs_tracker_read (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, void *buffer,
                 GError **error)
{
  return copy (tracker, i, (Cursor){ .runs = runs, .n = n, .buffer = buffer }, false, error);
}

bool
cs_tracker_write (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, const void *buffer,
                  GError **error)
{
  Cursor cursor = { .runs = runs, .n = n, .buffer = (char *)(guintptr)buffer };
  return copy (tracker, i, cursor, true, error);
}

bool
cs_tracker_write_from (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n,
                       const void *const *data, GError **error)
{
  return copy (tracker, i, (Cursor){ .runs = runs, .n = n, .data = data }, true, error);
}
