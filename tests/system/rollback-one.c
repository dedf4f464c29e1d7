/* One VM, rolled back by the library alone: for tests/system/rollback-*.sh.
 *
 *   rollback-one STORE REFERENCE STEP [ARGUMENT...] ...
 *
 * REFERENCE is a VM reference as in docs/rpc.md.  One process, since the tracker lives in it:
 *
 *   snapshot NAME      incremental where possible
 *   run MS             lets the guest run
 *   rollback NAME      ends with a comparison of all memory with the image before the VM runs again
 *   repeat N MS NAME   N times run and rollback; neither process may grow
 *   cancel NAME        a rollback that is cancelled when the VM stands
 *   late NAME          one whose pause deadline has passed
 *   fails NAME         a rollback that must fail before the point of no return (a fault point)
 *   breaks NAME        one that must fail after it: the VM stands from then on
 *   redo NAME          takes the standing VM back, as a clusnapd that was started anew does
 *   forget             as though the daemon had been started anew
 *   balloon MIB        sets the balloon and waits until the guest has followed
 *   touch              reads all memory, as a dump of it does
 *   sh COMMAND         runs it
 *   hook COMMAND       to be run by the next rollback between stop and apply
 *   restore NAME       starts the VM (which must be off) from the snapshot, lazily, to be filled
 *   fill               completes that
 *   clean              checks that nothing of ours is in QEMU */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "common/error.h"
#include "common/json.h"
#include "vmm/capture.h"
#include "vmm/libvirt.h"
#include "vmm/rollback.h"

#define RUN_PAGES 256
#define READ_AHEAD (256 << 20)
#define DEADLINE (20 * G_USEC_PER_SEC)
/* What the processes may grow by in a repeat. */
#define GROWTH_KIB 4096
#define GROWTH_FILES 3 /* what QEMU opens and closes by itself; a leak is one per rollback */

typedef struct
{
  CsStore *store;
  CsVmTable *table;
  CsVm *vm;
  GHashTable *snapshots; /* name -> document */
  char *directory;
  char *hook;
  char *source; /* the snapshot that a restore fills from */
} Session;

static bool
failed (GError **error, const char *text)
{
  g_set_error_literal (error, CS_ERROR, CS_ERROR_FAILED, text);
  return false;
}

static guint64
number (const char *text)
{
  guint64 value = 0;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &value, NULL))
    g_error ("'%s' is no number", text);
  return value;
}

static json_object *
find_snapshot (Session *session, const char *name, GError **error)
{
  json_object *document = g_hash_table_lookup (session->snapshots, name);
  if (document == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "no snapshot '%s'", name);
  return document;
}

/* ---- snapshot ---- */

static bool
take (Session *session, CsCapture *capture, const char *name, GError **error)
{
  cs_capture_permit_resume (capture);
  if (!cs_capture_precopy (capture, error) || !cs_capture_pause (capture, error)
      || !cs_capture_store (capture, NULL, NULL, error) || !cs_store_commit (session->store, error))
    return false;
  cs_capture_commit (capture);
  session->vm->base->snapshot = g_strdup (name);
  const CsCaptureStats *stats = cs_capture_stats (capture);
  g_print ("snapshot %s: incremental %d pages %" G_GUINT64_FORMAT " pause %" G_GINT64_FORMAT
           " us\n",
           name, cs_capture_is_incremental (capture), stats->pages, stats->pause);
  g_hash_table_insert (session->snapshots, g_strdup (name), cs_capture_document (capture));
  /* The image must stay whatever the VM's base becomes. */
  cs_store_pin (session->store, cs_capture_image (capture));
  return true;
}

static bool
snapshot (Session *session, char **arguments, GError **error)
{
  CsCaptureOptions options = { .store = session->store,
                               .scratch_directory = session->directory,
                               .pause_deadline = DEADLINE,
                               .max_rounds = 4 };
  CsCapture *capture = cs_capture_new (session->vm, &options, error);
  bool ok = capture != NULL && take (session, capture, arguments[0], error);
  cs_capture_free (capture);
  return ok;
}

/* ---- comparison ---- */

/* Pages that a lazy restore has not put yet hold what its image says. */
static bool
compare_missing (Session *session, CsImage *target, guint volume, const CsRamBlock *block,
                 guint64 page, GError **error)
{
  guint8 then[CS_PAGE_SIZE], now[CS_PAGE_SIZE] = { 0 };
  CsRestore *filling = cs_vm_filling (session->vm);
  g_autoptr (CsBitmap) placed = cs_bitmap_new (block->used_length / CS_PAGE_SIZE);
  if (!cs_image_read (target, volume, page, 1, then, error))
    return false;
  if (filling != NULL && cs_restore_lazy (filling) != NULL
      && cs_lazy_get_placed (cs_restore_lazy (filling), block->name, placed)
      && !cs_bitmap_test (placed, page))
    {
      guint source_volume;
      json_object *document = find_snapshot (session, session->source, error);
      g_autoptr (CsImage) source =
          cs_image_open (session->store, cs_json_string (document, "image"), error);
      if (source == NULL
          || !cs_image_find_volume (source, CS_VOLUME_RAM, block->name, &source_volume)
          || !cs_image_read (source, source_volume, page, 1, now, error))
        return false;
    }
  if (memcmp (then, now, sizeof now) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
               "page %" G_GUINT64_FORMAT " of '%s' is missing, but not zero in the image", page,
               block->name);
  return false;
}

static bool
compare_run (CsTracker *tracker, guint i, CsImage *target, guint volume, const CsPageRun *run,
             GError **error)
{
  static guint8 now[RUN_PAGES * CS_PAGE_SIZE], then[RUN_PAGES * CS_PAGE_SIZE];
  if (!cs_tracker_read (tracker, i, run, 1, now, error)
      || !cs_image_read (target, volume, run->first, run->count, then, error))
    return false;
  for (guint64 k = 0; k < run->count; k++)
    if (memcmp (now + k * CS_PAGE_SIZE, then + k * CS_PAGE_SIZE, CS_PAGE_SIZE) != 0)
      {
        g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                     "page %" G_GUINT64_FORMAT " of '%s' is not as in the image", run->first + k,
                     cs_tracker_block (tracker, i)->name);
        return false;
      }
  return true;
}

static bool
compare_block (Session *session, CsTracker *tracker, guint i, CsImage *target, GError **error)
{
  guint volume;
  const CsRamBlock *block = cs_tracker_block (tracker, i);
  guint64 pages = block->used_length / CS_PAGE_SIZE;
  g_autoptr (CsBitmap) resident = cs_bitmap_new (pages);
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (pages);
  if (!cs_image_find_volume (target, CS_VOLUME_RAM, block->name, &volume)
      || !cs_tracker_resident (tracker, i, resident, error)
      || !cs_tracker_peek (tracker, i, dirty, error))
    return false;
  for (guint64 at = 0, n; cs_bitmap_next_run (resident, at, &at, &n); at += n)
    {
      CsPageRun run = { at, n = MIN (n, RUN_PAGES) };
      if (!compare_run (tracker, i, target, volume, &run, error))
        return false;
    }
  for (guint64 page = 0; page < pages; page++)
    if (!cs_bitmap_test (resident, page) && !cs_image_page_is_zero (target, volume, page)
        && !compare_missing (session, target, volume, block, page, error))
      return false;
  return true;
}

static bool
compare (Session *session, json_object *document, GError **error)
{
  CsVm *vm = session->vm;
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (cs_vm_monitor (vm), error);
  g_autoptr (CsTracker) own = NULL;
  g_autoptr (CsImage) target =
      blocks == NULL ? NULL
                     : cs_image_open (session->store, cs_json_string (document, "image"), error);
  if (target == NULL)
    return false;
  /* A rollback that makes a tracker does not show it: any descriptor does for reading. */
  CsTracker *tracker = cs_vm_tracker (vm);
  if (tracker == NULL)
    {
      tracker = own = cs_tracker_new_from_fd (cs_monitor_pid (cs_vm_monitor (vm)), dup (0), error);
      for (guint i = 0; own != NULL && i < blocks->len; i++)
        cs_tracker_adopt_block (own, g_ptr_array_index (blocks, i));
    }
  if (tracker == NULL || cs_tracker_n_blocks (tracker) != blocks->len)
    return failed (error, "not all memory is tracked");
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    if (!compare_block (session, tracker, i, target, error))
      return false;
  return true;
}

/* ---- rollback ---- */

static void
print_stats (const char *name, const CsRollbackStats *stats, gint64 prepared)
{
  g_print ("rollback %s: pages %" G_GUINT64_FORMAT " late %" G_GUINT64_FORMAT
           " fix-up %" G_GUINT64_FORMAT " frames %" G_GUINT64_FORMAT " whole %d disk-bytes "
           "%" G_GUINT64_FORMAT " prepare %" G_GINT64_FORMAT " stop %" G_GINT64_FORMAT
           " scan %" G_GINT64_FORMAT " memory %" G_GINT64_FORMAT " disks %" G_GINT64_FORMAT
           " devices %" G_GINT64_FORMAT " fix-up-time %" G_GINT64_FORMAT " cont %" G_GINT64_FORMAT
           " sum %" G_GINT64_FORMAT " us\n",
           name, stats->pages, stats->pages_late, stats->fix_up_pages, stats->frames_dropped,
           stats->whole, stats->disk_bytes, prepared, stats->stop, stats->scan, stats->memory,
           stats->disks, stats->devices, stats->fix_up, stats->cont,
           stats->stop + stats->scan + stats->memory + stats->disks + stats->devices + stats->fix_up
               + stats->cont);
}

static CsRollback *
begin (Session *session, const char *name, gint64 deadline, bool standing, GError **error)
{
  json_object *document = find_snapshot (session, name, error);
  CsRollbackOptions options = { .store = session->store,
                                .snapshot = name,
                                .scratch_directory = session->directory,
                                .read_ahead = READ_AHEAD,
                                .pause_deadline = deadline,
                                .standing = standing };
  return document != NULL ? cs_rollback_new (session->vm, document, &options, error) : NULL;
}

static bool
run_shell (Session *session, char **arguments, GError **error)
{
  return system (arguments[0]) == 0 || failed (error, "the command failed");
}

static bool
run_hook (Session *session, GError **error)
{
  g_autofree char *command = g_steal_pointer (&session->hook);
  return command == NULL || run_shell (session, &command, error);
}

static bool
take_back (Session *session, const char *name, bool standing, GError **error)
{
  gint64 since = g_get_monotonic_time ();
  g_autoptr (CsRollback) rollback = begin (session, name, DEADLINE, standing, error);
  if (rollback == NULL || !cs_rollback_prepare (rollback, error))
    return false;
  gint64 prepared = g_get_monotonic_time () - since;
  if (!cs_rollback_stop (rollback, error) || !run_hook (session, error)
      || !cs_rollback_apply (rollback, error)
      || !compare (session, find_snapshot (session, name, NULL), error)
      || !cs_rollback_resume (rollback, error))
    return false;
  print_stats (name, cs_rollback_stats (rollback), prepared);
  return true;
}

static bool
roll_back (Session *session, char **arguments, GError **error)
{
  return take_back (session, arguments[0], false, error);
}

static bool
run (Session *session, char **arguments, GError **error)
{
  g_usleep ((gulong)number (arguments[0]) * 1000);
  return true;
}

/* ---- growth ---- */

typedef struct
{
  guint64 files[2], kib[2]; /* ours, QEMU's */
} Size;

static guint64
count_files (pid_t pid)
{
  guint64 n = 0;
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  while (directory != NULL && g_dir_read_name (directory) != NULL)
    n++;
  return n;
}

/* Private anonymous memory, without the guest's own where that is one large mapping. */
static guint64
count_kib (pid_t pid, bool guest)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps", pid);
  FILE *stream = fopen (path, "re");
  char line[512];
  unsigned long start, end, kib, total = 0;
  bool large = false;
  while (stream != NULL && fgets (line, sizeof line, stream) != NULL)
    if (sscanf (line, "%lx-%lx ", &start, &end) == 2)
      large = guest && end - start >= (64ul << 20);
    else if (!large && sscanf (line, "Rss: %lu", &kib) == 1)
      total += kib;
  if (stream != NULL)
    fclose (stream);
  return total;
}

static Size
measure (Session *session)
{
  pid_t pid = session->vm->pid;
  return (Size){ { count_files (getpid ()), count_files (pid) },
                 { count_kib (getpid (), false), count_kib (pid, true) } };
}

static bool
repeat (Session *session, char **arguments, GError **error)
{
  int count = (int)number (arguments[0]);
  Size before = { 0 };
  for (int i = 0; i < count; i++)
    {
      if (!run (session, arguments + 1, error) || !roll_back (session, arguments + 2, error))
        return false;
      if (i == count / 2)
        before = measure (session);
    }
  Size after = measure (session);
  for (int i = 0; i < 2; i++)
    {
      g_print ("%s: files %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT ", KiB %" G_GUINT64_FORMAT
               " -> %" G_GUINT64_FORMAT "\n",
               i == 0 ? "ours" : "QEMU's", before.files[i], after.files[i], before.kib[i],
               after.kib[i]);
      if (after.files[i] > before.files[i] + GROWTH_FILES
          || after.kib[i] > before.kib[i] + GROWTH_KIB)
        return failed (error, "it grows");
    }
  return true;
}

/* ---- rollbacks that fail ---- */

static bool
is_running (Session *session, bool *running, GError **error)
{
  bool known = cs_vm_open (session->vm, error)
               && cs_monitor_status (cs_vm_monitor (session->vm), running, NULL, error);
  cs_vm_close (session->vm);
  return known;
}

static bool
runs_on (Session *session, GError **error)
{
  bool running;
  return is_running (session, &running, error)
         && (running || failed (error, "the VM was left paused"));
}

static bool
stands (Session *session, GError **error)
{
  bool running;
  return is_running (session, &running, error)
         && (!running || failed (error, "a VM that is half taken back runs"));
}

static bool
attempt (Session *session, const char *name, gint64 deadline, bool cancel, bool *past_return,
         GError **error)
{
  g_autoptr (CsRollback) rollback = begin (session, name, deadline, false, error);
  if (rollback == NULL || !cs_rollback_prepare (rollback, error)
      || !cs_rollback_stop (rollback, error))
    return false;
  if (cancel)
    cs_rollback_cancel (rollback);
  else if (deadline < DEADLINE)
    g_usleep ((gulong)deadline);
  bool ok = cs_rollback_apply (rollback, error) && cs_rollback_resume (rollback, error);
  *past_return = cs_rollback_is_past_return (rollback);
  return ok;
}

static bool
expect_failure (Session *session, const char *name, gint64 deadline, bool cancel, int code,
                bool past_return, GError **error)
{
  bool past = false;
  g_autoptr (GError) problem = NULL;
  if (attempt (session, name, deadline, cancel, &past, &problem))
    return failed (error, "it should have failed");
  g_print ("failed as it should: %s\n", problem->message);
  if (!g_error_matches (problem, CS_ERROR, code) || past != past_return)
    return failed (error, "but not in this way");
  return past || runs_on (session, error);
}

static bool
cancelled (Session *session, char **arguments, GError **error)
{
  return expect_failure (session, arguments[0], DEADLINE, true, CS_ERROR_CANCELLED, false, error);
}

static bool
late (Session *session, char **arguments, GError **error)
{
  return expect_failure (session, arguments[0], 2 * G_USEC_PER_SEC, false, CS_ERROR_DEADLINE, false,
                         error);
}

static bool
fails (Session *session, char **arguments, GError **error)
{
  return expect_failure (session, arguments[0], DEADLINE, false, CS_ERROR_FAILED, false, error);
}

static bool
breaks (Session *session, char **arguments, GError **error)
{
  return expect_failure (session, arguments[0], DEADLINE, false, CS_ERROR_FAILED, true, error)
         && stands (session, error);
}

/* The VM must not have run in between: what a guest does that is half taken back, and says of it,
 * is wrong (its rings are of another time than its devices). */
static bool
redo (Session *session, char **arguments, GError **error)
{
  return stands (session, error) && take_back (session, arguments[0], true, error);
}

static bool
forget (Session *session, char **arguments, GError **error)
{
  cs_vm_forget_base (session->vm);
  return true;
}

/* ---- what may happen to memory ---- */

static bool
balloon_is_at (CsMonitor *monitor, guint64 bytes, bool *there, GError **error)
{
  g_autoptr (CsJson) reply = NULL;
  if (!cs_monitor_execute (monitor, "query-balloon", NULL, &reply, error))
    return false;
  *there = cs_json_uint (reply, "actual", 0) == bytes;
  return true;
}

static bool
balloon (Session *session, char **arguments, GError **error)
{
  bool there = false;
  guint64 bytes = number (arguments[0]) << 20;
  json_object *request = json_object_new_object ();
  json_object_object_add (request, "value", json_object_new_uint64 (bytes));
  bool ok = cs_vm_open (session->vm, error)
            && cs_monitor_execute (cs_vm_monitor (session->vm), "balloon", request, NULL, error);
  for (int i = 0; ok && !there && i < 1200; i++)
    {
      g_usleep (50000);
      ok = balloon_is_at (cs_vm_monitor (session->vm), bytes, &there, error);
    }
  cs_vm_close (session->vm);
  return ok && (there || failed (error, "the guest does not follow its balloon"));
}

static bool
touch (Session *session, char **arguments, GError **error)
{
  static guint8 buffer[1 << 20];
  CsTracker *tracker = cs_vm_tracker (session->vm);
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      const CsRamBlock *block = cs_tracker_block (tracker, i);
      for (guint64 at = 0; at < block->used_length; at += sizeof buffer)
        {
          CsPageRun piece = { at / CS_PAGE_SIZE,
                              MIN (block->used_length - at, sizeof buffer) / CS_PAGE_SIZE };
          if (!cs_tracker_read (tracker, i, &piece, 1, buffer, error))
            return false;
        }
    }
  return true;
}

static bool
set_hook (Session *session, char **arguments, GError **error)
{
  g_free (session->hook);
  session->hook = g_strdup (arguments[0]);
  return true;
}

/* ---- a restore that is filling ---- */

static bool
restore (Session *session, char **arguments, GError **error)
{
  CsVm *vm = session->vm;
  json_object *document = find_snapshot (session, arguments[0], error);
  CsRestoreOptions options = { .lazy = true, .log_directory = session->directory };
  cs_vm_reset (vm);
  g_autoptr (CsRestore) restore =
      document != NULL ? cs_restore_new (session->store, document, &options, error) : NULL;
  if (restore == NULL || !cs_restore_load (restore, NULL, error)
      || !cs_restore_resume (restore, error))
    return false;
  cs_restore_commit (restore);
  CsVmBase *base = cs_vm_base_new (session->store, cs_json_string (document, "image"),
                                   cs_restore_tracker (restore), NULL, NULL);
  base->snapshot = g_strdup (arguments[0]);
  cs_vm_adopt (vm, cs_restore_monitor (restore), base);
  cs_vm_set_filling (vm, g_steal_pointer (&restore));
  guint64 done, total;
  cs_restore_progress (cs_vm_filling (vm), &done, &total);
  g_print ("restored: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " pages\n", done, total);
  session->source = g_strdup (arguments[0]); /* the comparison wants to know */
  return true;
}

static bool
fill (Session *session, char **arguments, GError **error)
{
  bool ok = cs_restore_finish (cs_vm_filling (session->vm), NULL, error);
  cs_vm_end_filling (session->vm, ok ? NULL : "failed");
  g_clear_pointer (&session->source, g_free);
  return ok;
}

/* ---- what is left ---- */

static bool
is_clean (CsMonitor *monitor, const char *command, GError **error)
{
  g_autoptr (CsJson) reply = NULL;
  if (!cs_monitor_execute (monitor, command, NULL, &reply, error))
    return false;
  const char *text = json_object_to_json_string (reply);
  if (strstr (text, "\"clusnap-vmstate") == NULL && strstr (text, "\"clusnap-load") == NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: something is left: %s", command, text);
  return false;
}

static bool
clean (Session *session, char **arguments, GError **error)
{
  CsMonitor *monitor;
  bool ok = cs_vm_open (session->vm, error)
            && is_clean (monitor = cs_vm_monitor (session->vm), "query-fdsets", error)
            && is_clean (monitor, "query-jobs", error)
            && is_clean (monitor, "query-named-block-nodes", error);
  cs_vm_close (session->vm);
  return ok;
}

/* ---- main ---- */

static const struct
{
  const char *name;
  int n;
  bool (*func) (Session *session, char **arguments, GError **error);
} steps[] = {
  { "snapshot", 1, snapshot }, { "run", 1, run },          { "rollback", 1, roll_back },
  { "repeat", 3, repeat },     { "cancel", 1, cancelled }, { "late", 1, late },
  { "fails", 1, fails },       { "breaks", 1, breaks },    { "redo", 1, redo },
  { "forget", 0, forget },     { "balloon", 1, balloon },  { "touch", 0, touch },
  { "hook", 1, set_hook },     { "sh", 1, run_shell },     { "restore", 1, restore },
  { "fill", 0, fill },         { "clean", 0, clean },
};

static bool
execute (Session *session, char **arguments, GError **error)
{
  while (*arguments != NULL)
    {
      gsize i = 0;
      while (i < G_N_ELEMENTS (steps) && !g_str_equal (steps[i].name, *arguments))
        i++;
      if (i == G_N_ELEMENTS (steps) || (int)g_strv_length (arguments) <= steps[i].n)
        return failed (error, "what step is that?");
      if (!steps[i].func (session, arguments + 1, error))
        {
          g_prefix_error (error, "%s: ", *arguments);
          return false;
        }
      fflush (stdout);
      arguments += 1 + steps[i].n;
    }
  return true;
}

static void
put_document (gpointer data)
{
  json_object_put (data);
}

static bool
open_session (Session *session, char **arguments, GError **error)
{
  g_autoptr (CsJson) reference = json_tokener_parse (arguments[1]);
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (reference, error);
  if (ref == NULL || !cs_libvirt_init (error))
    return false;
  if (!g_file_test (arguments[0], G_FILE_TEST_EXISTS) && !cs_store_init (arguments[0], error))
    return false;
  session->store = cs_store_open (arguments[0], error);
  session->table = cs_vm_table_new ();
  session->vm = cs_vm_table_get (session->table, ref);
  session->directory = g_path_get_dirname (arguments[0]);
  session->snapshots = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, put_document);
  return session->store != NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Session session = { 0 };
  if (argc < 4)
    {
      fprintf (stderr, "usage: rollback-one STORE REFERENCE STEP...\n");
      return 2;
    }
  bool ok = open_session (&session, argv + 1, &error) && execute (&session, argv + 3, &error);
  if (!ok)
    fprintf (stderr, "rollback-one: %s\n", error->message);
  cs_vm_table_free (session.table);
  if (session.snapshots != NULL)
    g_hash_table_unref (session.snapshots);
  cs_store_close (session.store);
  g_free (session.directory);
  g_free (session.hook);
  g_free (session.source);
  return ok ? 0 : 1;
}
