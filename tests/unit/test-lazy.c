/* The lazy server, on a child process whose memory is filled while two threads of it use it. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/error.h"
#include "common/fd.h"
#include "fake-image.h"
#include "unit.h"
#include "vmm/inject.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-uffd.h"
#include "vmm/lazy.h"

#define PAGES 4096
#define WORDS (CS_PAGE_SIZE / sizeof (guint64))
#define THREADS 2

/* --- the child --- */

enum
{
  OP_READ,    /* the word of a page, all of whose words must be equal */
  OP_WRITE,   /* fills a page */
  OP_DISCARD, /* as a balloon does */
};

typedef struct
{
  int op;
  guint64 page, word;
} Request;

typedef struct
{
  int socket;
  guint64 *memory;
  bool shared;
} ChildThread;

static guint64
execute (const ChildThread *self, const Request *request)
{
  guint64 *words = self->memory + request->page * WORDS;
  guint64 first = 0;
  switch (request->op)
    {
    case OP_READ:
      first = words[0];
      for (gsize i = 1; i < WORDS; i++)
        if (words[i] != first)
          return 0xbad;
      break;
    case OP_WRITE:
      for (gsize i = 0; i < WORDS; i++)
        words[i] = request->word;
      break;
    case OP_DISCARD:
      madvise (words, CS_PAGE_SIZE, self->shared ? MADV_REMOVE : MADV_DONTNEED);
      break;
    default:
      break;
    }
  return first;
}

static gpointer
child_thread (gpointer data)
{
  ChildThread *self = data;
  Request request;
  while (read (self->socket, &request, sizeof request) == sizeof request)
    {
      guint64 reply = execute (self, &request);
      if (write (self->socket, &reply, sizeof reply) != sizeof reply)
        break;
    }
  _exit (0);
}

/* --- the fixture --- */

typedef struct
{
  pid_t pid;
  int sockets[THREADS];
  guint64 *memory; /* at the same address in the child */
  bool shared;
  CsImage *image;
  CsRamBlock block;
  CsLazy *lazy;
} Fixture;

static void
child_main (Fixture *fixture, int (*ends)[2])
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  static ChildThread threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    {
      threads[i] = (ChildThread){ ends[i][1], fixture->memory, fixture->shared };
      close (ends[i][0]);
      g_thread_new ("child", child_thread, &threads[i]);
    }
  for (;;)
    pause ();
}

/* With @stale, pages of the file that nobody has mapped hold something. */
static void *
map_memory (bool shared, bool stale)
{
  const gsize length = (gsize)PAGES * CS_PAGE_SIZE;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  cs_autofd int fd = -1;
  if (shared)
    {
      flags = MAP_SHARED;
      fd = memfd_create ("lazy", MFD_CLOEXEC);
      ck_assert_int_eq (ftruncate (fd, (off_t)length), 0);
      for (guint64 page = 0; stale && page < PAGES; page += 5)
        ck_assert_int_eq (pwrite (fd, "stale", 5, (off_t)(page * CS_PAGE_SIZE)), 5);
    }
  void *memory = mmap (NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);
  ck_assert_ptr_ne (memory, MAP_FAILED);
  madvise (memory, length, MADV_NOHUGEPAGE);
  return memory;
}

static void
fixture_init (Fixture *fixture, bool shared, bool stale)
{
  int ends[THREADS][2];
  *fixture = (Fixture){ .shared = shared, .memory = map_memory (shared, stale) };
  for (int i = 0; i < THREADS; i++)
    {
      ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
      fixture->sockets[i] = ends[i][0];
    }
  fixture->pid = fork ();
  ck_assert_int_ge (fixture->pid, 0);
  if (fixture->pid == 0)
    child_main (fixture, ends);
  for (int i = 0; i < THREADS; i++)
    close (ends[i][1]);
  fixture->image = fake_image_new (PAGES);
  fixture->block = (CsRamBlock){ .name = (char *)"ram",
                                 .host = (guint64)(guintptr)fixture->memory,
                                 .used_length = (guint64)PAGES * CS_PAGE_SIZE,
                                 .max_length = (guint64)PAGES * CS_PAGE_SIZE,
                                 .page_size = CS_PAGE_SIZE };
}

static CsLazy *
lazy_of (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  int keep = -1;
  int uffd = cs_inject_userfaultfd (fixture->pid, NULL, cs_uffd_lazy_features (), &keep, &error);
  unit_assert_no_error (error);
  CsLazy *lazy = cs_lazy_new_from_fd (fixture->pid, uffd, keep, "child", fixture->image, &error);
  unit_assert_no_error (error);
  return lazy;
}

static CsMappingKind
kind_of (const Fixture *fixture)
{
  return fixture->shared ? CS_MAPPING_SHARED_MEMORY : CS_MAPPING_ANONYMOUS;
}

static void
fixture_begin (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  fixture->lazy = lazy_of (fixture);
  cs_lazy_add_block (fixture->lazy, &fixture->block, kind_of (fixture), 0, &error);
  unit_assert_no_error (error);
}

static void
fixture_end (Fixture *fixture)
{
  fake_image_hold (fixture->image, G_MAXUINT64);
  cs_lazy_free (fixture->lazy);
  fake_image_free (fixture->image);
  kill (fixture->pid, SIGKILL);
  waitpid (fixture->pid, NULL, 0);
  for (int i = 0; i < THREADS; i++)
    close (fixture->sockets[i]);
}

static void
ask (Fixture *fixture, int thread, int op, guint64 page, guint64 word)
{
  Request request = { op, page, word };
  ck_assert_int_eq (write (fixture->sockets[thread], &request, sizeof request), sizeof request);
}

static guint64
reply (Fixture *fixture, int thread)
{
  guint64 word;
  ck_assert_int_eq (read (fixture->sockets[thread], &word, sizeof word), sizeof word);
  return word;
}

static guint64
call (Fixture *fixture, int op, guint64 page, guint64 word)
{
  ask (fixture, 0, op, page, word);
  return reply (fixture, 0);
}

static void
assert_silent (Fixture *fixture, int thread)
{
  struct pollfd polled = { .fd = fixture->sockets[thread], .events = POLLIN };
  ck_assert_int_eq (poll (&polled, 1, 100), 0);
}

static void
wait_filled (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  guint64 done, total;
  cs_lazy_wait_filled (fixture->lazy, NULL, &error);
  unit_assert_no_error (error);
  cs_lazy_progress (fixture->lazy, &done, &total);
  ck_assert_uint_eq (done, PAGES - PAGES / 4);
  ck_assert_uint_eq (done, total);
  ck_assert (cs_lazy_is_filled (fixture->lazy));
}

/* What a scan finds written is exactly pages @first, @first + @step, ... below @end. */
static void
assert_dirty (CsBitmap *dirty, guint64 first, guint64 step, guint64 end)
{
  for (guint64 page = 0; page < PAGES; page++)
    {
      bool expected = page >= first && page < end && (page - first) % step == 0;
      ck_assert_msg (cs_bitmap_test (dirty, page) == expected, "page %lu %s dirty", page,
                     expected ? "is not" : "is");
    }
}

static void
assert_scan (Fixture *fixture, guint64 first, guint64 step, guint64 end)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (PAGES);
  cs_tracker_scan (cs_lazy_tracker (fixture->lazy), 0, dirty, &error);
  unit_assert_no_error (error);
  assert_dirty (dirty, first, step, end);
}

static void
assert_content (Fixture *fixture, guint64 page)
{
  ck_assert_uint_eq (call (fixture, OP_READ, page, 0), fake_image_word (page));
}

static void
assert_all_content (Fixture *fixture)
{
  for (guint64 page = 0; page < PAGES; page++)
    assert_content (fixture, page);
}

/* Every test for anonymous (0) and for shared memory (1). */
#define add_for_each_kind(tcase, test) tcase_add_loop_test (tcase, test, 0, 2)

/* --- the tests --- */

/* Each page comes when it is touched, and reading is not writing. */
START_TEST (test_faults)
{
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  assert_all_content (&fixture);
  CsLazyFaults faults;
  cs_lazy_faults (fixture.lazy, &faults);
  ck_assert_uint_eq (faults.count, PAGES);
  assert_scan (&fixture, 0, 1, 0);
  fixture_end (&fixture);
}
END_TEST

/* A snapshot while filling: only what the child wrote, whether it was there before or not. */
START_TEST (test_scan_while_filling)
{
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, PAGES / 4);
  cs_lazy_start_fill (fixture.lazy);
  while (fake_image_delivered (fixture.image) < PAGES / 4)
    g_usleep (100);
  for (guint64 page = 0; page < PAGES; page += 7)
    call (&fixture, OP_WRITE, page, page + 1);
  for (guint64 page = 3; page < PAGES; page += 7)
    assert_content (&fixture, page);
  assert_scan (&fixture, 0, 7, PAGES);
  assert_scan (&fixture, 0, 1, 0);
  call (&fixture, OP_WRITE, 70, 1);
  fake_image_hold (fixture.image, G_MAXUINT64);
  wait_filled (&fixture);
  assert_scan (&fixture, 70, 1, 71);
  for (guint64 page = 0; page < PAGES; page++)
    ck_assert_uint_eq (call (&fixture, OP_READ, page, 0), page == 70      ? 1
                                                          : page % 7 == 0 ? page + 1
                                                                          : fake_image_word (page));
  fixture_end (&fixture);
}
END_TEST

/* What was there before shows nothing of itself. */
START_TEST (test_present)
{
  Fixture fixture;
  fixture_init (&fixture, _i == 1, true);
  for (guint64 page = 100; page < 300; page++)
    call (&fixture, OP_WRITE, page, 0x57a1e);
  for (guint64 page = 400; page < 500; page++)
    call (&fixture, OP_READ, page, 0);
  fixture_begin (&fixture);
  assert_all_content (&fixture);
  assert_scan (&fixture, 0, 1, 0);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  assert_all_content (&fixture);
  fixture_end (&fixture);
}
END_TEST

/* The fill brings all but zero pages, in the store's order. */
START_TEST (test_fill)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) half = cs_bitmap_new (PAGES);
  g_autoptr (CsBitmap) all = cs_bitmap_new (PAGES);
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, PAGES / 4);
  cs_lazy_start_fill (fixture.lazy);
  while (fake_image_delivered (fixture.image) < PAGES / 4)
    g_usleep (100);
  ck_assert (!cs_lazy_is_filled (fixture.lazy));
  cs_mapping_present (fixture.pid, fixture.block.host, fixture.block.used_length, false, half,
                      &error);
  unit_assert_no_error (error);
  ck_assert_uint_gt (cs_bitmap_count (half), 0);
  for (guint64 page = 0; page < PAGES / 2; page++)
    ck_assert (!cs_bitmap_test (half, page));

  fake_image_hold (fixture.image, G_MAXUINT64);
  wait_filled (&fixture);
  cs_mapping_present (fixture.pid, fixture.block.host, fixture.block.used_length, false, all,
                      &error);
  for (guint64 page = 0; page < PAGES; page++)
    ck_assert (cs_bitmap_test (all, page) == (fake_image_word (page) != 0));
  CsLazyFaults faults;
  cs_lazy_faults (fixture.lazy, &faults);
  ck_assert_uint_eq (faults.count, 0);
  assert_scan (&fixture, 0, 1, 0);
  fixture_end (&fixture);
}
END_TEST

/* Faults are answered while the fill stands, and by two threads on the same page. */
START_TEST (test_faults_first)
{
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, 10);
  cs_lazy_start_fill (fixture.lazy);
  for (guint64 page = 0; page < PAGES; page += 3)
    {
      ask (&fixture, 0, OP_READ, page, 0);
      ask (&fixture, 1, OP_READ, page, 0);
      ck_assert_uint_eq (reply (&fixture, 0), fake_image_word (page));
      ck_assert_uint_eq (reply (&fixture, 1), fake_image_word (page));
    }
  ck_assert_uint_le (fake_image_delivered (fixture.image), 10);
  fake_image_hold (fixture.image, G_MAXUINT64);
  wait_filled (&fixture);
  fixture_end (&fixture);
}
END_TEST

static void
prefetch (Fixture *fixture, const guint64 *pages, guint n)
{
  g_autoptr (GArray) touches = g_array_new (FALSE, FALSE, sizeof (CsTouch));
  for (guint i = 0; i < n; i++)
    {
      CsTouch touch = { 0, pages[i] };
      g_array_append_val (touches, touch);
    }
  cs_lazy_prefetch (fixture->lazy, touches);
}

/* What an earlier restore touched is there before the fill begins, zero pages among it, and nothing
 * else; it is no fault then. */
START_TEST (test_prefetch)
{
  static const guint64 pages[] = { 2000, 10, 11, 4000 };
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) there = cs_bitmap_new (PAGES);
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  prefetch (&fixture, pages, G_N_ELEMENTS (pages));
  CsLazyFaults faults = { 0 };
  for (guint i = 0; i < 30000 && faults.prefetched < 3; i++) /* page 11 is zero */
    {
      g_usleep (1000);
      cs_lazy_faults (fixture.lazy, &faults);
    }
  ck_assert_uint_eq (faults.prefetched, 3);
  cs_mapping_present (fixture.pid, fixture.block.host, fixture.block.used_length, false, there,
                      &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (cs_bitmap_count (there), G_N_ELEMENTS (pages));
  for (guint i = 0; i < G_N_ELEMENTS (pages); i++)
    assert_content (&fixture, pages[i]);
  cs_lazy_faults (fixture.lazy, &faults);
  ck_assert_uint_eq (faults.count, 0);
  ck_assert (!cs_lazy_is_filled (fixture.lazy));
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  assert_all_content (&fixture);
  assert_scan (&fixture, 0, 1, 0);
  fixture_end (&fixture);
}
END_TEST

/* A prefetch that the store holds up delays nobody; the fill then begins with what it has not done.
 */
START_TEST (test_prefetch_held)
{
  static const guint64 pages[] = { 5, 4, 1, 0 };
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, 1);
  prefetch (&fixture, pages, G_N_ELEMENTS (pages));
  assert_content (&fixture, 1);
  assert_content (&fixture, 4090);
  cs_lazy_start_fill (fixture.lazy);
  assert_content (&fixture, 0);
  fake_image_hold (fixture.image, G_MAXUINT64);
  wait_filled (&fixture);
  assert_all_content (&fixture);
  fixture_end (&fixture);
}
END_TEST

/* An error that the prefetch meets and the fill does not is none. */
START_TEST (test_prefetch_fails)
{
  static const guint64 pages[] = { 8, 9 };
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_fail (fixture.image, 8);
  prefetch (&fixture, pages, G_N_ELEMENTS (pages));
  for (guint i = 0; i < 30000 && fake_image_failures (fixture.image) == 0; i++)
    g_usleep (1000);
  ck_assert (cs_lazy_check (fixture.lazy, NULL));
  fake_image_fail (fixture.image, G_MAXUINT64);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  fixture_end (&fixture);
}
END_TEST

/* Touches are kept in their order, each once, what was there already or came by itself not. */
START_TEST (test_touches)
{
  static const guint64 pages[] = { 77, 3, 4000, 5 };
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  for (guint i = 0; i < G_N_ELEMENTS (pages); i++)
    {
      assert_content (&fixture, pages[i]);
      call (&fixture, OP_WRITE, pages[0], fake_image_word (pages[0]));
    }
  call (&fixture, OP_DISCARD, 5, 0);
  ck_assert_uint_eq (call (&fixture, OP_READ, 5, 0), 0);
  g_autoptr (GArray) touches = cs_lazy_touches (fixture.lazy);
  ck_assert_uint_eq (touches->len, G_N_ELEMENTS (pages));
  for (guint i = 0; i < G_N_ELEMENTS (pages); i++)
    ck_assert_uint_eq (g_array_index (touches, CsTouch, i).page, pages[i]);
  fixture_end (&fixture);
}
END_TEST

/* Bounded or not, all of it arrives: 16 MiB. */
START_TEST (test_fill_rate)
{
  static const int rates[] = { 0, 1000, CS_LAZY_RATE_ADAPTIVE };
  for (guint i = 0; i < G_N_ELEMENTS (rates); i++)
    {
      Fixture fixture;
      fixture_init (&fixture, _i == 1, false);
      fixture_begin (&fixture);
      cs_lazy_set_fill_rate (fixture.lazy, rates[i]);
      cs_lazy_start_fill (fixture.lazy);
      for (guint64 page = 0; page < PAGES; page += 64)
        assert_content (&fixture, page);
      wait_filled (&fixture);
      fixture_end (&fixture);
    }
}
END_TEST

/* A fill at so low a rate that it would take days can be given up at once, and faults do not wait
 * for it. */
START_TEST (test_fill_bound)
{
  Fixture fixture;
  guint64 done, total;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  cs_lazy_set_fill_rate (fixture.lazy, 1);
  fake_image_hold (fixture.image, 100);
  cs_lazy_start_fill (fixture.lazy);
  for (guint64 page = 0; page < PAGES / 2; page++)
    assert_content (&fixture, page);
  cs_lazy_progress (fixture.lazy, &done, &total);
  ck_assert_uint_le (fake_image_delivered (fixture.image), 100);
  ck_assert_uint_ge (done, PAGES / 2 - PAGES / 8);
  fixture_end (&fixture);
}
END_TEST

static void
end_lazy (Fixture *fixture, CsBitmap *dirty)
{
  g_autoptr (GError) error = NULL;
  CsBitmap *sets[] = { dirty, NULL };
  for (bool finished = false; !finished;)
    {
      cs_lazy_end (fixture->lazy, sets, 0, &finished, &error);
      unit_assert_no_error (error);
    }
  cs_lazy_end_serving (fixture->lazy);
}

/* After the end the kernel serves; nothing written before, during or after is lost. */
START_TEST (test_end)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (PAGES);
  CsBitmap *sets[] = { dirty, NULL };
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  bool finished;
  ck_assert (!cs_lazy_end (fixture.lazy, sets, 0, &finished, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  json_object *record = cs_lazy_to_json (fixture.lazy);
  cs_lazy_start_fill (fixture.lazy);
  for (guint64 page = 0; page < PAGES; page += 9)
    call (&fixture, OP_WRITE, page, 9);
  wait_filled (&fixture);
  end_lazy (&fixture, dirty);
  assert_dirty (dirty, 0, 9, PAGES);

  /* Nobody answers a fault any more. */
  CsTracker *tracker = cs_lazy_steal_tracker (fixture.lazy);
  g_clear_pointer (&fixture.lazy, cs_lazy_free);
  for (guint64 page = 0; page < PAGES; page++)
    ck_assert_uint_eq (call (&fixture, OP_READ, page, 0),
                       page % 9 == 0 ? 9 : fake_image_word (page));
  cs_bitmap_clear (dirty);
  for (guint64 page = 1; page < PAGES; page += 10)
    call (&fixture, OP_WRITE, page, 10);
  g_clear_error (&error);
  cs_tracker_scan (tracker, 0, dirty, &error);
  unit_assert_no_error (error);
  assert_dirty (dirty, 1, 10, PAGES);

  /* The child keeps no descriptor. */
  ck_assert_ptr_null (cs_lazy_from_json (record, "child", fixture.image, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  json_object_put (record);
  cs_tracker_free (tracker);
  fixture_end (&fixture);
}
END_TEST

/* The child goes on between the pauses of the end, in memory that has and has not been ended: every
 * write is in the caller's set or in the next scan, and nothing else is. */
START_TEST (test_end_in_slices)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (PAGES);
  g_autoptr (CsBitmap) written = cs_bitmap_new (PAGES);
  CsBitmap *sets[] = { dirty, NULL };
  guint64 calls = 0;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  for (bool finished = false; !finished; calls++)
    {
      cs_lazy_end (fixture.lazy, sets, 0, &finished, &error);
      unit_assert_no_error (error);
      for (guint64 page = calls; page < PAGES; page += 100)
        {
          call (&fixture, OP_WRITE, page, 100);
          cs_bitmap_set_range (written, page, 1);
        }
      for (guint64 page = 50 + calls; page < PAGES; page += 100)
        assert_content (&fixture, page);
    }
  ck_assert_uint_gt (calls, 2);
  cs_tracker_scan (cs_lazy_tracker (fixture.lazy), 0, dirty, &error);
  unit_assert_no_error (error);
  for (guint64 page = 0; page < PAGES; page++)
    ck_assert (cs_bitmap_test (dirty, page) == cs_bitmap_test (written, page));
  fixture_end (&fixture);
}
END_TEST

/* What the balloon takes reads as zero, though the image has something there. */
START_TEST (test_discard)
{
  Fixture fixture;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  assert_content (&fixture, 5);
  call (&fixture, OP_DISCARD, 5, 0);
  ck_assert_uint_eq (call (&fixture, OP_READ, 5, 0), 0);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  ck_assert_uint_eq (call (&fixture, OP_READ, 5, 0), 0);
  call (&fixture, OP_DISCARD, 6, 0);
  ck_assert_uint_eq (call (&fixture, OP_READ, 6, 0), 0);
  fixture_end (&fixture);
}
END_TEST

/* A fault that the store cannot answer waits; others are served; it comes once the store is well.
 */
START_TEST (test_store_error)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_fail (fixture.image, 2001);
  ask (&fixture, 1, OP_READ, 2001, 0);
  assert_silent (&fixture, 1);
  cs_lazy_start_fill (fixture.lazy);
  ck_assert (!cs_lazy_wait_filled (fixture.lazy, NULL, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
  ck_assert_ptr_nonnull (strstr (error->message, "child"));
  ck_assert (!cs_lazy_check (fixture.lazy, NULL));
  ck_assert (cs_lazy_is_filled (fixture.lazy));
  assert_content (&fixture, 2000);
  assert_content (&fixture, 17);
  assert_silent (&fixture, 1);

  fake_image_fail (fixture.image, G_MAXUINT64);
  cs_lazy_start_fill (fixture.lazy);
  ck_assert_uint_eq (reply (&fixture, 1), fake_image_word (2001));
  wait_filled (&fixture);
  assert_all_content (&fixture);
  fixture_end (&fixture);
}
END_TEST

START_TEST (test_kill_on_failure)
{
  Fixture fixture;
  int status;
  fixture_init (&fixture, false, false);
  fixture_begin (&fixture);
  cs_lazy_set_kill_on_failure (fixture.lazy, true);
  fake_image_fail (fixture.image, 8);
  ask (&fixture, 0, OP_READ, 8, 0);
  ck_assert_int_eq (waitpid (fixture.pid, &status, 0), fixture.pid);
  ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  fixture.pid = fork ();
  if (fixture.pid == 0)
    _exit (0);
  fixture_end (&fixture);
}
END_TEST

START_TEST (test_gone)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  fixture_init (&fixture, _i == 1, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, 100);
  cs_lazy_start_fill (fixture.lazy);
  while (fake_image_delivered (fixture.image) < 100)
    g_usleep (100);
  kill (fixture.pid, SIGKILL);
  waitpid (fixture.pid, NULL, 0);
  fake_image_hold (fixture.image, G_MAXUINT64);
  ck_assert (!cs_lazy_wait_filled (fixture.lazy, NULL, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  fixture.pid = fork ();
  if (fixture.pid == 0)
    _exit (0);
  fixture_end (&fixture);
}
END_TEST

START_TEST (test_cancel)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  fixture_init (&fixture, false, false);
  fixture_begin (&fixture);
  fake_image_hold (fixture.image, 100);
  cs_lazy_start_fill (fixture.lazy);
  g_cancellable_cancel (cancellable);
  ck_assert (!cs_lazy_wait_filled (fixture.lazy, cancellable, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  fake_image_hold (fixture.image, G_MAXUINT64);
  wait_filled (&fixture);
  fixture_end (&fixture);
}
END_TEST

/* --- kill -9 of the process that serves --- */

/* Serves until it is killed; its record goes to @out. */
static void
helper_main (Fixture *fixture, int out)
{
  fixture_begin (fixture);
  fake_image_hold (fixture->image, 500);
  fake_image_fail (fixture->image, 29);
  cs_lazy_start_fill (fixture->lazy);
  while (fake_image_delivered (fixture->image) < 500)
    g_usleep (100);
  json_object *record = cs_lazy_to_json (fixture->lazy);
  const char *text = json_object_to_json_string (record);
  if (write (out, text, strlen (text) + 1) < 0)
    _exit (1);
  for (;;)
    pause ();
}

/* Fills, begins the end and dies there. */
static void
ending_helper_main (Fixture *fixture, int out)
{
  bool finished = false;
  CsBitmap *sets[] = { cs_bitmap_new (PAGES), NULL };
  fixture_begin (fixture);
  json_object *record = cs_lazy_to_json (fixture->lazy);
  cs_lazy_start_fill (fixture->lazy);
  const char *text = json_object_to_json_string (record);
  if (!cs_lazy_wait_filled (fixture->lazy, NULL, NULL)
      || !cs_lazy_end (fixture->lazy, sets, 0, &finished, NULL) || finished
      || write (out, text, strlen (text) + 1) < 0)
    _exit (1);
  for (;;)
    pause ();
}

static json_object *
read_record (int in)
{
  char text[4096];
  gssize n = read (in, text, sizeof text);
  ck_assert_int_gt (n, 0);
  json_object *record = json_tokener_parse (text);
  ck_assert_ptr_nonnull (record);
  return record;
}

START_TEST (test_adopt)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  int ends[2];
  fixture_init (&fixture, _i == 1, false);
  ck_assert_int_eq (pipe (ends), 0);
  pid_t helper = fork ();
  if (helper == 0)
    helper_main (&fixture, ends[1]);
  json_object *record = read_record (ends[0]);
  call (&fixture, OP_WRITE, 11, 0x11);
  assert_content (&fixture, 12);
  ask (&fixture, 1, OP_READ, 29, 0); /* taken by the helper, but never answered */
  assert_silent (&fixture, 1);
  kill (helper, SIGKILL);
  waitpid (helper, NULL, 0);

  /* Not zero, not anything: no answer. */
  ask (&fixture, 0, OP_READ, 15, 0);
  assert_silent (&fixture, 0);
  assert_silent (&fixture, 1);

  fixture.lazy = cs_lazy_from_json (record, "child", fixture.image, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (reply (&fixture, 0), 0);
  ck_assert_uint_eq (reply (&fixture, 1), fake_image_word (29));
  call (&fixture, OP_WRITE, 21, 0x21);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  assert_scan (&fixture, 11, 10, 31);
  for (guint64 page = 0; page < PAGES; page++)
    ck_assert_uint_eq (call (&fixture, OP_READ, page, 0), page == 11   ? 0x11
                                                          : page == 21 ? 0x21
                                                                       : fake_image_word (page));
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (PAGES);
  end_lazy (&fixture, dirty);
  ck_assert_uint_eq (cs_bitmap_count (dirty), 0);
  json_object_put (record);
  close (ends[0]);
  close (ends[1]);
  fixture_end (&fixture);
}
END_TEST

/* Killed while it was ending: zero pages of the rest still need somebody; what was written before
 * is not known, so the tracker does not know the block. */
START_TEST (test_adopt_ending)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  int ends[2];
  bool finished = false;
  fixture_init (&fixture, _i == 1, false);
  ck_assert_int_eq (pipe (ends), 0);
  pid_t helper = fork ();
  if (helper == 0)
    ending_helper_main (&fixture, ends[1]);
  json_object *record = read_record (ends[0]);
  kill (helper, SIGKILL);
  waitpid (helper, NULL, 0);
  assert_content (&fixture, 3);
  ask (&fixture, 0, OP_READ, PAGES - 1, 0);
  assert_silent (&fixture, 0);

  fixture.lazy = cs_lazy_from_json (record, "child", fixture.image, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (reply (&fixture, 0), 0);
  ck_assert_uint_eq (cs_tracker_n_blocks (cs_lazy_tracker (fixture.lazy)), 0);
  cs_lazy_start_fill (fixture.lazy);
  wait_filled (&fixture);
  while (!finished)
    ck_assert (cs_lazy_end (fixture.lazy, NULL, 0, &finished, &error));
  assert_all_content (&fixture);
  json_object_put (record);
  close (ends[0]);
  close (ends[1]);
  fixture_end (&fixture);
}
END_TEST

static void
assert_bad_record (Fixture *fixture, const char *key, json_object *value, CsError expected)
{
  g_autoptr (GError) error = NULL;
  json_object *record = cs_lazy_to_json (fixture->lazy);
  if (value != NULL)
    json_object_object_add (record, key, value);
  else
    json_object_object_del (record, key);
  ck_assert_ptr_null (cs_lazy_from_json (record, "child", fixture->image, &error));
  unit_assert_error (error, expected);
  json_object_put (record);
}

START_TEST (test_bad_records)
{
  Fixture fixture;
  fixture_init (&fixture, false, false);
  fixture_begin (&fixture);
  assert_bad_record (&fixture, "pid", NULL, CS_ERROR_INVALID);
  assert_bad_record (&fixture, "pid", json_object_new_string ("1"), CS_ERROR_INVALID);
  assert_bad_record (&fixture, "pid", json_object_new_int (1), CS_ERROR_GONE);
  assert_bad_record (&fixture, "start-time", json_object_new_int (5), CS_ERROR_GONE);
  assert_bad_record (&fixture, "fd", json_object_new_int (0), CS_ERROR_STATE);
  assert_bad_record (&fixture, "blocks", json_object_new_object (), CS_ERROR_INVALID);
  json_object *blocks = json_object_new_array ();
  json_object_array_add (blocks, json_object_new_object ());
  assert_bad_record (&fixture, "blocks", blocks, CS_ERROR_INVALID);
  fixture_end (&fixture);
}
END_TEST

/* An eager block beside the lazy one: what was there stays, writes are seen from the start. */
START_TEST (test_eager_block)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;
  fixture_init (&fixture, _i == 1, false);
  call (&fixture, OP_WRITE, 1, 0x1);
  fixture.lazy = lazy_of (&fixture);
  cs_lazy_add_eager_block (fixture.lazy, &fixture.block, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (call (&fixture, OP_READ, 1, 0), 0x1);
  ck_assert_uint_eq (call (&fixture, OP_READ, 2, 0), 0);
  assert_scan (&fixture, 0, 1, 0);
  call (&fixture, OP_WRITE, 1, 0x2);
  call (&fixture, OP_WRITE, 3, 0x2);
  assert_scan (&fixture, 1, 2, 5);
  ck_assert (!cs_lazy_suits (&fixture.block, kind_of (&fixture))); /* 16 MiB */
  fixture_end (&fixture);
}
END_TEST

int
main (void)
{
  g_autoptr (GError) error = NULL;
  if (!cs_tracker_probe (&error) || geteuid () != 0)
    {
      g_print ("skipped: %s\n", error != NULL ? error->message : "not root");
      return 77;
    }
  Suite *suite = suite_create ("lazy");
  TCase *tcase = tcase_create ("lazy");
  tcase_set_timeout (tcase, 60);
  add_for_each_kind (tcase, test_faults);
  add_for_each_kind (tcase, test_scan_while_filling);
  add_for_each_kind (tcase, test_present);
  add_for_each_kind (tcase, test_fill);
  add_for_each_kind (tcase, test_faults_first);
  add_for_each_kind (tcase, test_prefetch);
  add_for_each_kind (tcase, test_prefetch_held);
  add_for_each_kind (tcase, test_prefetch_fails);
  add_for_each_kind (tcase, test_touches);
  add_for_each_kind (tcase, test_fill_rate);
  add_for_each_kind (tcase, test_fill_bound);
  add_for_each_kind (tcase, test_end);
  add_for_each_kind (tcase, test_end_in_slices);
  add_for_each_kind (tcase, test_adopt_ending);
  add_for_each_kind (tcase, test_discard);
  add_for_each_kind (tcase, test_store_error);
  add_for_each_kind (tcase, test_gone);
  add_for_each_kind (tcase, test_adopt);
  add_for_each_kind (tcase, test_eager_block);
  tcase_add_test (tcase, test_kill_on_failure);
  tcase_add_test (tcase, test_cancel);
  tcase_add_test (tcase, test_bad_records);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
