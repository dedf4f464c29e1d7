/* Theory of operation
 *
 * All writers share one open frame of one open segment.  Under the packer's lock a page is
 * looked for among the pages of the segments that are not published yet, and in the index
 * (looked up before, outside the lock).  If it is new, it is copied into the open frame, and has
 * its final location - segment, frame, slot - at once.  So guests with the same content
 * stored side by side share it, whoever comes first.  The writer that fills the frame
 * detaches it, compresses it and appends it without the lock; frames land out of order.
 *
 * A segment ends when it is long enough or a commit asks for it (full).  Who lands its last
 * frame, or asks when none is in flight, settles it: footer, publishing, index.  Then the epoch
 * is raised: look-ups made before that, which could not see the new entries, are repeated.
 * The same goes for garbage collection, which raises the epoch after it took entries out.
 *
 * When any append or publishing fails, every segment not yet being sealed is given up, the
 * generation is raised and the cause is kept: every user of an older generation may have
 * pages in a lost segment and fails from then on with that cause.  Users made later are
 * of the new generation and begin a new segment: the store stays usable.
 *
 * Lock order: commit (store) -> packer -> segment table, index.
 *
 * The file is longer than most because all of this happens under the one lock, which is taken and
 * let go nowhere else.
 */
#include "config.h"

#include "images/packer.h"

#include "common/error.h"
#include "images/open-segment.h"

#include <string.h>

#define SEGMENT_LENGTH (64u << 20)
/* Bounds the pending table of well-compressing pages: 512 MiB of them. */
#define SEGMENT_PAGES (128u << 10)
G_STATIC_ASSERT (SEGMENT_PAGES <= CS_SEGMENT_MAX_POSITIONS);

typedef struct
{
  CsOpenSegment *segment;
  guint32 ordinal;
  CsPackerUser *owners[CS_FRAME_PAGES];
  CsFrame frame;
} OpenFrame;

struct CsPacker
{
  /* immutable */
  const char *name;
  CsBackend *backend;
  guint8 store[16];
  CsIndex *index;
  CsSegmentTable *segments;

  /* under lock */
  GMutex lock;
  GCond settled;       /* a segment left `live` */
  GPtrArray *live;     /* CsOpenSegment: not published yet */
  CsOpenSegment *open; /* the one of `live` that takes pages, or NULL */
  OpenFrame *frame;    /* of `open`, or NULL */
  GPtrArray *spare;    /* OpenFrame, for reuse */
  GPtrArray *codecs;   /* CsFrameCodec, for reuse */
  GPtrArray *users;
  guint64 epoch;      /* of the index */
  guint64 generation; /* raised by each failure */
  GError *failure;    /* of the last one */
  guint32 next_number;
};

struct CsPackerUser
{
  /* immutable */
  CsPacker *packer;
  guint64 generation;

  /* owner only */
  CsIndexReader *reader;

  /* under the packer's lock */
  guint references; /* the owner, and frames in the open with pages of it */
  GHashTable *segments;
  guint32 last_segment; /* in segments: spares a look-up */
  guint64 bytes;
  guint64 pages;
};

CsPacker *
cs_packer_new (const char *name, CsBackend *backend, const guint8 *store, CsIndex *index,
               CsSegmentTable *segments)
{
  CsPacker *packer = g_new0 (CsPacker, 1);
  packer->name = name;
  packer->backend = backend;
  memcpy (packer->store, store, sizeof packer->store);
  packer->index = index;
  packer->segments = segments;
  g_mutex_init (&packer->lock);
  g_cond_init (&packer->settled);
  packer->live = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_open_segment_free);
  packer->spare = g_ptr_array_new_with_free_func (g_free);
  packer->codecs = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_frame_codec_free);
  packer->users = g_ptr_array_new ();
  packer->next_number = cs_segment_table_highest (segments) + 1;
  return packer;
}

/* Lock held. */
static void
user_unref (CsPackerUser *user)
{
  if (--user->references > 0)
    return;
  g_hash_table_unref (user->segments);
  g_free (user);
}

/* Lock held. */
static void
drop_frame (CsPacker *packer, OpenFrame *frame)
{
  for (guint32 i = 0; i < frame->frame.pages; i++)
    user_unref (frame->owners[i]);
  g_ptr_array_add (packer->spare, frame);
}

void
cs_packer_free (CsPacker *packer)
{
  if (packer == NULL)
    return;
  g_assert (packer->users->len == 0);
  if (packer->frame != NULL)
    drop_frame (packer, packer->frame);
  g_ptr_array_unref (packer->live);
  g_ptr_array_unref (packer->spare);
  g_ptr_array_unref (packer->codecs);
  g_ptr_array_unref (packer->users);
  g_clear_error (&packer->failure);
  g_cond_clear (&packer->settled);
  g_mutex_clear (&packer->lock);
  g_free (packer);
}

CsPackerUser *
cs_packer_user_new (CsPacker *packer)
{
  CsPackerUser *user = g_new0 (CsPackerUser, 1);
  user->packer = packer;
  user->references = 1;
  user->segments = g_hash_table_new (NULL, NULL);
  user->reader = cs_index_reader_new (packer->index);
  g_mutex_lock (&packer->lock);
  user->generation = packer->generation;
  g_ptr_array_add (packer->users, user);
  g_mutex_unlock (&packer->lock);
  return user;
}

void
cs_packer_user_free (CsPackerUser *user)
{
  if (user == NULL)
    return;
  CsPacker *packer = user->packer;
  g_clear_pointer (&user->reader, cs_index_reader_free);
  g_mutex_lock (&packer->lock);
  g_ptr_array_remove_fast (packer->users, user);
  user_unref (user);
  g_mutex_unlock (&packer->lock);
}

void
cs_packer_user_bytes (CsPackerUser *user, guint64 *bytes, guint64 *pages)
{
  g_mutex_lock (&user->packer->lock);
  *bytes = user->bytes;
  *pages = user->pages;
  g_mutex_unlock (&user->packer->lock);
}

/* Lock held. */
static bool
check_user (CsPackerUser *user, GError **error)
{
  CsPacker *packer = user->packer;
  if (user->generation == packer->generation)
    return true;
  g_set_error (error, packer->failure->domain, packer->failure->code,
               "store '%s' could not keep pages of this image: %s", packer->name,
               packer->failure->message);
  return false;
}

bool
cs_packer_user_check (CsPackerUser *user, GError **error)
{
  g_mutex_lock (&user->packer->lock);
  bool ok = check_user (user, error);
  g_mutex_unlock (&user->packer->lock);
  return ok;
}

/* Footer, publishing, index.  No lock; the caller is the only one at this segment. */
static bool
seal (CsPacker *packer, CsOpenSegment *segment, GError **error)
{
  CsSealedSegment sealed;
  guint32 frames = (segment->n_pages + CS_FRAME_PAGES - 1) / CS_FRAME_PAGES;
  if (!cs_segment_writer_seal (segment->writer, frames, false, &sealed, error))
    return false;
  CsSegmentInfo info = {
    .number = segment->number, .nonce = sealed.nonce, .size = sealed.size, .pages = sealed.pages
  };
  cs_segment_table_set (packer->segments, &info);
  /* Failing, nobody finds these pages until the store is opened again: they are stored
   * twice, no more.  So this is no error. */
  cs_index_add_segment (packer->index, segment->number, sealed.nonce, segment->hashes,
                        segment->n_pages, NULL);
  return true;
}

static void fail (CsPacker *packer, const GError *cause);

/* Lock held; let go meanwhile.  Ends @segment if it is due; then it is gone. */
static void
settle (CsPacker *packer, CsOpenSegment *segment)
{
  if (segment->settling || segment->in_flight > 0 || !(segment->full || segment->failed))
    return;
  segment->settling = true;
  bool failed = segment->failed;
  g_autoptr (GError) cause = NULL;
  g_mutex_unlock (&packer->lock);
  if (failed)
    g_clear_pointer (&segment->writer, cs_segment_writer_free);
  else
    failed = !seal (packer, segment, &cause);
  g_mutex_lock (&packer->lock);
  packer->epoch++;
  if (cause != NULL)
    fail (packer, cause);
  g_ptr_array_remove_fast (packer->live, segment); /* frees it */
  g_cond_broadcast (&packer->settled);
}

static CsOpenSegment *
find_failed (CsPacker *packer)
{
  for (guint i = 0; i < packer->live->len; i++)
    {
      CsOpenSegment *segment = packer->live->pdata[i];
      if (segment->failed && !segment->settling && segment->in_flight == 0)
        return segment;
    }
  return NULL;
}

/* Lock held; let go meanwhile. */
static void
fail (CsPacker *packer, const GError *cause)
{
  packer->generation++;
  g_clear_error (&packer->failure);
  packer->failure = g_error_copy (cause);
  if (packer->frame != NULL)
    drop_frame (packer, g_steal_pointer (&packer->frame));
  packer->open = NULL;
  for (guint i = 0; i < packer->live->len; i++)
    {
      CsOpenSegment *segment = packer->live->pdata[i];
      segment->failed = segment->failed || !segment->settling;
    }
  for (CsOpenSegment *segment; (segment = find_failed (packer)) != NULL;)
    settle (packer, segment);
}

/* Lock held. */
static OpenFrame *
detach_frame (CsPacker *packer)
{
  OpenFrame *frame = g_steal_pointer (&packer->frame);
  frame->segment->in_flight++;
  return frame;
}

/* Lock held. */
static void
end_segment (CsPacker *packer)
{
  packer->open->full = true;
  packer->open = NULL;
}

/* Lock held. */
static void
account (OpenFrame *frame, gsize length)
{
  for (guint32 i = 0; i < frame->frame.pages; i++)
    {
      frame->owners[i]->bytes += length / frame->frame.pages;
      frame->owners[i]->pages++;
    }
  frame->segment->bytes += length;
}

/* Lock held; let go meanwhile.  Compresses and appends a detached frame. */
static void
land_frame (CsPacker *packer, OpenFrame *frame)
{
  CsOpenSegment *segment = frame->segment;
  CsFrameCodec *codec = packer->codecs->len > 0
                            ? g_ptr_array_steal_index_fast (packer->codecs, packer->codecs->len - 1)
                            : NULL;
  g_autoptr (GError) cause = NULL;
  gsize length;
  g_mutex_unlock (&packer->lock);
  if (codec == NULL)
    codec = cs_frame_codec_new ();
  const void *encoded = cs_frame_encode (codec, &frame->frame, frame->ordinal, &length);
  bool ok = cs_segment_writer_append (segment->writer, frame->ordinal, encoded, length,
                                      frame->frame.pages, &cause);
  g_mutex_lock (&packer->lock);
  g_ptr_array_add (packer->codecs, codec);
  if (ok)
    account (frame, length);
  drop_frame (packer, frame);
  segment->in_flight--;
  if (!ok && !segment->failed)
    fail (packer, cause); /* settles this segment too */
  else
    settle (packer, segment);
}

/* Lock held. */
static bool
ensure_frame (CsPacker *packer, GError **error)
{
  if (packer->frame != NULL)
    return true;
  if (packer->open == NULL)
    {
      if (packer->next_number > CS_SEGMENT_MAX_NUMBER)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_NO_SPACE,
                       "store '%s' has used up all segment numbers: begin a new store",
                       packer->name);
          return false;
        }
      packer->open = cs_open_segment_new (packer->backend, packer->store, packer->next_number++);
      g_ptr_array_add (packer->live, packer->open);
    }
  packer->frame = packer->spare->len > 0
                      ? g_ptr_array_steal_index_fast (packer->spare, packer->spare->len - 1)
                      : g_new (OpenFrame, 1);
  packer->frame->segment = packer->open;
  packer->frame->ordinal = packer->open->n_pages / CS_FRAME_PAGES;
  packer->frame->frame.pages = 0;
  return true;
}

/* Lock held. */
static void
use_segment (CsPackerUser *user, guint32 segment)
{
  if (user->last_segment == segment)
    return;
  g_hash_table_add (user->segments, GUINT_TO_POINTER (segment));
  user->last_segment = segment;
}

/* Lock held.  @page->location is what the index says. */
static bool
find_known (CsPacker *packer, CsPackerPage *page)
{
  guint32 position;
  for (guint i = 0; i < packer->live->len; i++)
    {
      const CsOpenSegment *segment = packer->live->pdata[i];
      if (!segment->failed && cs_open_segment_find (segment, page->hash, &position))
        {
          page->location = cs_location (segment->number, position);
          return true;
        }
    }
  return page->location != CS_LOCATION_ZERO
         && cs_segment_table_usable (packer->segments, cs_location_segment (page->location));
}

/* Lock held; let go where a frame is full. */
static bool
store_page (CsPacker *packer, CsPackerUser *user, CsPackerPage *page, GError **error)
{
  if (!ensure_frame (packer, error))
    return false;
  OpenFrame *open = packer->frame;
  CsFrame *frame = &open->frame;
  guint32 slot = frame->pages++;
  memcpy (frame->data + (gsize)slot * CS_PAGE_LENGTH, page->data, CS_PAGE_LENGTH);
  memcpy (frame->hashes[slot], page->hash, CS_HASH_LENGTH);
  open->owners[slot] = user;
  user->references++;
  page->location =
      cs_location (packer->open->number, cs_open_segment_add (packer->open, page->hash));
  page->stored = true;
  use_segment (user, packer->open->number);
  if (frame->pages < CS_FRAME_PAGES)
    return true;
  CsOpenSegment *segment = packer->open;
  detach_frame (packer);
  /* Frames in flight are not in bytes yet: a segment may become a little longer. */
  if (segment->bytes >= SEGMENT_LENGTH || segment->n_pages >= SEGMENT_PAGES)
    end_segment (packer);
  land_frame (packer, open);
  return check_user (user, error);
}

static void
look_up (CsPackerUser *user, CsPackerPage *pages, guint n)
{
  cs_index_reader_begin (user->reader);
  for (guint i = 0; i < n; i++)
    pages[i].location = cs_index_reader_find (user->reader, pages[i].hash);
  cs_index_reader_end (user->reader);
}

bool
cs_packer_put (CsPacker *packer, CsPackerUser *user, CsPackerPage *pages, guint n, GError **error)
{
  g_mutex_lock (&packer->lock);
  guint64 epoch = packer->epoch;
  g_mutex_unlock (&packer->lock);
  look_up (user, pages, n);
  g_mutex_lock (&packer->lock);
  bool ok = check_user (user, error);
  for (guint i = 0; ok && i < n; i++)
    {
      if (packer->epoch != epoch)
        {
          epoch = packer->epoch;
          look_up (user, pages + i, n - i); /* rare enough to do it under the lock */
        }
      pages[i].stored = false;
      if (find_known (packer, &pages[i]))
        use_segment (user, cs_location_segment (pages[i].location));
      else
        ok = store_page (packer, user, &pages[i], error);
    }
  g_mutex_unlock (&packer->lock);
  return ok;
}

/* Lock held. */
static bool
any_live_up_to (CsPacker *packer, guint32 number)
{
  for (guint i = 0; i < packer->live->len; i++)
    if (((CsOpenSegment *)packer->live->pdata[i])->number <= number)
      return true;
  return false;
}

void
cs_packer_flush (CsPacker *packer)
{
  g_mutex_lock (&packer->lock);
  guint32 last = packer->next_number - 1;
  CsOpenSegment *segment = packer->open;
  if (segment != NULL)
    {
      OpenFrame *frame = packer->frame != NULL ? detach_frame (packer) : NULL;
      end_segment (packer);
      if (frame != NULL)
        land_frame (packer, frame);
      else
        settle (packer, segment);
    }
  while (any_live_up_to (packer, last))
    g_cond_wait (&packer->settled, &packer->lock);
  g_mutex_unlock (&packer->lock);
}

/* Lock held. */
static bool
is_used (CsPacker *packer, guint32 segment)
{
  for (guint i = 0; i < packer->users->len; i++)
    {
      const CsPackerUser *user = packer->users->pdata[i];
      if (g_hash_table_contains (user->segments, GUINT_TO_POINTER (segment)))
        return true;
    }
  return false;
}

GHashTable *
cs_packer_used_segments (CsPacker *packer)
{
  GHashTable *used = g_hash_table_new (NULL, NULL);
  g_mutex_lock (&packer->lock);
  for (guint i = 0; i < packer->users->len; i++)
    {
      GHashTableIter iter;
      gpointer segment;
      g_hash_table_iter_init (&iter, ((CsPackerUser *)packer->users->pdata[i])->segments);
      while (g_hash_table_iter_next (&iter, &segment, NULL))
        g_hash_table_add (used, segment);
    }
  g_mutex_unlock (&packer->lock);
  return used;
}

void
cs_packer_condemn (CsPacker *packer, GArray *candidates, bool dry_run)
{
  guint kept = 0;
  g_mutex_lock (&packer->lock);
  for (guint i = 0; i < candidates->len; i++)
    {
      CsSegmentInfo info = g_array_index (candidates, CsSegmentInfo, i);
      if (is_used (packer, info.number))
        continue;
      if (!dry_run)
        cs_segment_table_condemn (packer->segments, info.number, true);
      g_array_index (candidates, CsSegmentInfo, kept++) = info;
    }
  g_mutex_unlock (&packer->lock);
  g_array_set_size (candidates, kept);
}

void
cs_packer_pardon (CsPacker *packer, guint32 segment)
{
  g_mutex_lock (&packer->lock);
  packer->epoch++;
  cs_segment_table_condemn (packer->segments, segment, false);
  g_mutex_unlock (&packer->lock);
}
