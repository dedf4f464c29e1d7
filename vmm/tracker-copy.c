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
  gsize run;    /* the first one not wholly batched */
  guint64 done; /* bytes of it that are */
} Cursor;

/* Fills tracker->remote from @cursor on; the number of entries, their bytes in *@bytes. */
static gsize
next_batch (CsTracker *tracker, const CsRamBlock *block, Cursor *cursor, guint64 *bytes)
{
  gsize used = 0;
  *bytes = 0;
  while (cursor->run < cursor->n && used < CS_TRACKER_BATCH && *bytes < MAX_BYTES)
    {
      const CsPageRun *run = &cursor->runs[cursor->run];
      guint64 pages = cs_tracked_pages (block);
      g_assert (run->first <= pages && run->count <= pages - run->first);

      guint64 length = MIN (run->count * CS_PAGE_SIZE_HOST - cursor->done, MAX_BYTES - *bytes);
      guint64 address = block->host + run->first * CS_PAGE_SIZE_HOST + cursor->done;
      if (length > 0)
        tracker->remote[used++] = (struct iovec){ (void *)(guintptr)address, (gsize)length };
      *bytes += length;
      cursor->done += length;
      if (cursor->done == run->count * CS_PAGE_SIZE_HOST)
        {
          cursor->run++;
          cursor->done = 0;
        }
    }
  return used;
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

/* Moves one batch of @n entries, @bytes bytes.  A transfer may end early, at a page that
 * cannot be accessed; the next call then says why. */
static bool
transfer (CsTracker *tracker, const CsRamBlock *block, gsize n, char *local, guint64 bytes,
          bool write, GError **error)
{
  struct iovec *remote = tracker->remote;
  while (n > 0)
    {
      struct iovec here = { local, (gsize)bytes };
      ssize_t moved = write ? process_vm_writev (tracker->pid, &here, 1, remote, n, 0)
                            : process_vm_readv (tracker->pid, &here, 1, remote, n, 0);
      if (moved <= 0)
        return fail (tracker, block, remote, moved < 0 ? errno : EFAULT, error);
      local += moved;
      bytes -= (guint64)moved;
      n = advance (&remote, n, (gsize)moved);
    }
  return true;
}

static bool
copy (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, char *buffer, bool write,
      GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  Cursor cursor = { .runs = runs, .n = n };
  guint64 bytes;
  gsize used;

  while ((used = next_batch (tracker, block, &cursor, &bytes)) > 0)
    {
      if (!transfer (tracker, block, used, buffer, bytes, write, error))
        return false;
      buffer += bytes;
    }
  return true;
}

bool
cs_tracker_read (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, void *buffer,
                 GError **error)
{
  return copy (tracker, i, runs, n, buffer, false, error);
}

bool
cs_tracker_write (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, const void *buffer,
                  GError **error)
{
  return copy (tracker, i, runs, n, (char *)(guintptr)buffer, true, error);
}
