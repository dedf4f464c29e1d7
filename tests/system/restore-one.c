/* One VM into a store and back, by the library alone: for tests/system/restore*.sh.
 *
 *   restore-one init STORE
 *   restore-one save STORE REFERENCE DOCUMENT       stops the VM and leaves it so
 *   restore-one restore STORE DOCUMENT lazy|eager LOGDIR
 *   restore-one die STORE DOCUMENT RECORD LOGDIR    restores lazily, then dies by kill -9
 *   restore-one adopt STORE RECORD                  goes on with filling
 *
 * REFERENCE is a VM reference as in docs/rpc.md.  `restore` and `adopt` end with a comparison of
 * all of the VM's memory with the image: what differs must have been found written. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/fd.h"
#include "vmm/devstate.h"
#include "vmm/ramblock.h"
#include "vmm/restore.h"
#include "vmm/source.h"
#include "vmm/tracker.h"

#define RUN_PAGES 256
/* What loading the devices may write into a VM's large blocks. */
#define LOAD_PAGES_MAX 256

static bool
failed (GError **error, const char *text)
{
  g_set_error_literal (error, CS_ERROR, CS_ERROR_FAILED, text);
  return false;
}

/* --- save --- */

static bool
save_block (CsImageWriter *writer, CsTracker *tracker, guint i, GError **error)
{
  guint volume;
  const CsRamBlock *block = cs_tracker_block (tracker, i);
  g_autoptr (CsBitmap) resident = cs_bitmap_new (block->used_length / CS_PAGE_SIZE);
  g_autofree guint8 *buffer = g_malloc (RUN_PAGES * CS_PAGE_SIZE);
  if (!cs_image_writer_add_volume (writer, CS_VOLUME_RAM, block->name, block->used_length, false,
                                   &volume, error)
      || !cs_tracker_resident (tracker, i, resident, error))
    return false;
  for (guint64 at = 0, n; cs_bitmap_next_run (resident, at, &at, &n); at += n)
    {
      CsPageRun run = { at, n = MIN (n, RUN_PAGES) };
      if (!cs_tracker_read (tracker, i, &run, 1, buffer, error)
          || !cs_image_writer_put (writer, volume, at, n, buffer, error))
        return false;
    }
  return true;
}

static bool
save_devices (CsImageWriter *writer, CsDeviceState *state, GError **error)
{
  guint volume;
  g_autoptr (GBytes) bytes = cs_device_state_bytes (state, error);
  if (bytes == NULL)
    return false;
  gsize length = g_bytes_get_size (bytes);
  return cs_image_writer_add_volume (writer, CS_VOLUME_DEVICE_STATE, "devices", length, false,
                                     &volume, error)
         && cs_image_writer_put_bytes (writer, volume, g_bytes_get_data (bytes, NULL), length,
                                       error);
}

static char *
save_image (CsStore *store, CsTracker *tracker, CsDeviceState *state, GError **error)
{
  CsImageStats stats;
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, error);
  if (writer == NULL)
    return NULL;
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    if (!save_block (writer, tracker, i, error))
      return NULL;
  if (!save_devices (writer, state, error))
    return NULL;
  g_autofree char *id = cs_image_writer_finish (writer, &stats, error);
  return id != NULL && cs_store_commit (store, error) ? g_steal_pointer (&id) : NULL;
}

/* The QOM type of the machine and the version of QEMU, as the manifest has them. */
static bool
describe_qemu (CsMonitor *monitor, json_object *document, GError **error)
{
  json_object *reply = NULL, *qemu, *part[3];
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "path", json_object_new_string ("/machine"));
  json_object_object_add (arguments, "property", json_object_new_string ("type"));
  if (!cs_monitor_execute (monitor, "qom-get", arguments, &reply, error))
    return false;
  g_autofree char *machine = g_strdup (json_object_get_string (reply));
  json_object_put (reply);
  *strstr (machine, "-machine") = '\0';
  json_object_object_add (document, "machine", json_object_new_string (machine));
  if (!cs_monitor_execute (monitor, "query-version", NULL, &reply, error))
    return false;
  json_object_object_get_ex (reply, "qemu", &qemu);
  json_object_object_get_ex (qemu, "major", &part[0]);
  json_object_object_get_ex (qemu, "minor", &part[1]);
  json_object_object_get_ex (qemu, "micro", &part[2]);
  g_autofree char *version =
      g_strdup_printf ("%d.%d.%d", json_object_get_int (part[0]), json_object_get_int (part[1]),
                       json_object_get_int (part[2]));
  json_object_object_add (document, "qemu-version", json_object_new_string (version));
  json_object_put (reply);
  return true;
}

static json_object *
describe_blocks (CsTracker *tracker)
{
  json_object *blocks = json_object_new_array ();
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      const CsRamBlock *block = cs_tracker_block (tracker, i);
      json_object *object = json_object_new_object ();
      json_object_object_add (object, "name", json_object_new_string (block->name));
      json_object_object_add (object, "length", json_object_new_uint64 (block->used_length));
      json_object_object_add (object, "page-size", json_object_new_uint64 (block->page_size));
      json_object_array_add (blocks, object);
    }
  return blocks;
}

static bool
capture (CsStore *store, CsMonitor *monitor, const CsVmRef *ref, json_object *document,
         GError **error)
{
  g_autoptr (CsDeviceState) state = cs_device_state_new (monitor, error);
  g_autoptr (CsTracker) tracker = state != NULL ? cs_tracker_new (monitor, error) : NULL;
  if (tracker == NULL || !cs_monitor_stop (monitor, error))
    return false;
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (monitor, error);
  if (blocks == NULL || !cs_tracker_set_blocks (tracker, blocks, NULL, error)
      || !cs_device_state_save (state, error) || !describe_qemu (monitor, document, error))
    return false;
  g_autofree char *id = save_image (store, tracker, state, error);
  json_object *source = id != NULL ? cs_source_capture (monitor, ref, error) : NULL;
  if (source == NULL)
    return false;
  json_object_object_add (document, "name", json_object_new_string (ref->name));
  json_object_object_add (document, "image", json_object_new_string (id));
  json_object_object_add (document, "source", source);
  json_object_object_add (document, "ram-blocks", describe_blocks (tracker));
  json_object_object_add (document, "disks", json_object_new_array ());
  return true;
}

static bool
save (char **arguments, GError **error)
{
  g_autoptr (CsStore) store = cs_store_open (arguments[0], error);
  json_object *reference = json_tokener_parse (arguments[1]);
  g_autoptr (CsVmRef) ref = store != NULL ? cs_vm_ref_from_json (reference, error) : NULL;
  g_autoptr (CsMonitor) monitor = ref != NULL ? cs_vm_ref_connect (ref, error) : NULL;
  json_object *document = json_object_new_object ();
  bool ok = monitor != NULL && capture (store, monitor, ref, document, error);
  if (ok && json_object_to_file (arguments[2], document) != 0)
    ok = failed (error, "cannot write the document");
  json_object_put (document);
  json_object_put (reference);
  return ok;
}

/* --- comparison --- */

typedef struct
{
  CsImage *image;
  CsTracker *tracker;
  CsBitmap **dirty;  /* per block: all that was found written since the restore */
  guint64 different; /* pages that are not the image's */
  guint64 dirty_equal;
} Comparison;

/* Reads page by page what is resident; what is not reads as zero. */
static bool
compare_page (Comparison *comparison, guint i, guint volume, guint64 page, bool resident,
              GError **error)
{
  guint8 now[CS_PAGE_SIZE] = { 0 }, then[CS_PAGE_SIZE];
  CsPageRun run = { page, 1 };
  if ((resident && !cs_tracker_read (comparison->tracker, i, &run, 1, now, error))
      || !cs_image_read (comparison->image, volume, page, 1, then, error))
    return false;
  bool dirty = cs_bitmap_test (comparison->dirty[i], page);
  bool equal = memcmp (now, then, sizeof now) == 0;
  comparison->different += !equal;
  comparison->dirty_equal += dirty && equal;
  if (equal || dirty)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
               "page %" G_GUINT64_FORMAT " of '%s' differs but was not found written", page,
               cs_tracker_block (comparison->tracker, i)->name);
  return false;
}

static bool
compare_block (Comparison *comparison, guint i, GError **error)
{
  guint volume;
  const CsRamBlock *block = cs_tracker_block (comparison->tracker, i);
  guint64 pages = block->used_length / CS_PAGE_SIZE;
  g_autoptr (CsBitmap) resident = cs_bitmap_new (pages);
  if (!cs_image_find_volume (comparison->image, CS_VOLUME_RAM, block->name, &volume))
    return failed (error, "a RAM block is not in the image");
  if (!cs_tracker_resident (comparison->tracker, i, resident, error)
      || !cs_tracker_scan (comparison->tracker, i, comparison->dirty[i], error))
    return false;
  for (guint64 page = 0; page < pages; page++)
    {
      bool there = cs_bitmap_test (resident, page);
      if ((there || !cs_image_page_is_zero (comparison->image, volume, page))
          && !compare_page (comparison, i, volume, page, there, error))
        return false;
    }
  return true;
}

static bool
compare (CsMonitor *monitor, Comparison *comparison, GError **error)
{
  guint64 dirty = 0;
  if (!cs_monitor_stop (monitor, error))
    return false;
  for (guint i = 0; i < cs_tracker_n_blocks (comparison->tracker); i++)
    {
      if (!compare_block (comparison, i, error))
        return false;
      dirty += cs_bitmap_count (comparison->dirty[i]);
    }
  g_print ("compared: dirty %" G_GUINT64_FORMAT " different %" G_GUINT64_FORMAT
           " written-but-equal %" G_GUINT64_FORMAT "\n",
           dirty, comparison->different, comparison->dirty_equal);
  return cs_monitor_cont (monitor, error);
}

/* --- restore --- */

static CsBitmap **
new_sets (CsTracker *tracker)
{
  guint n = cs_tracker_n_blocks (tracker);
  CsBitmap **sets = g_new0 (CsBitmap *, n + 1);
  for (guint i = 0; i < n; i++)
    sets[i] = cs_bitmap_new (cs_tracker_block (tracker, i)->used_length / CS_PAGE_SIZE);
  return sets;
}

static void
free_sets (CsBitmap **sets)
{
  for (guint i = 0; sets != NULL && sets[i] != NULL; i++)
    cs_bitmap_free (sets[i]);
  g_free (sets);
}

/* VM loaded, not run: only the loading itself has written. */
static bool
check_load (CsTracker *tracker, GError **error)
{
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      const CsRamBlock *block = cs_tracker_block (tracker, i);
      g_autoptr (CsBitmap) dirty = cs_bitmap_new (block->used_length / CS_PAGE_SIZE);
      if (!cs_tracker_peek (tracker, i, dirty, error))
        return false;
      guint64 n = cs_bitmap_count (dirty);
      g_print ("loaded: '%s' %" G_GUINT64_FORMAT " pages written\n", block->name, n);
      if (block->used_length >= 32 * 1024 * 1024 && n > LOAD_PAGES_MAX)
        return failed (error, "pages that were only filled count as written");
    }
  return true;
}

/* A scan as a snapshot's micro-pause does it, while memory is still arriving. */
static bool
scan_while_filling (CsRestore *restore, CsBitmap **sets, GError **error)
{
  CsTracker *tracker = cs_restore_tracker (restore);
  CsMonitor *monitor = cs_restore_monitor (restore);
  bool filled = cs_restore_is_filled (restore);
  if (!cs_monitor_stop (monitor, error))
    return false;
  guint64 n = 0;
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      if (!cs_tracker_scan (tracker, i, sets[i], error))
        return false;
      n += cs_bitmap_count (sets[i]);
    }
  g_print ("scanned while %s: %" G_GUINT64_FORMAT " pages\n", filled ? "filled" : "filling", n);
  return cs_monitor_cont (monitor, error);
}

static void
print_times (CsRestore *restore, gint64 fill, guint64 pages)
{
  CsRestoreTimes times;
  cs_restore_times (restore, &times);
  g_print ("times: disks %" G_GINT64_FORMAT " launch %" G_GINT64_FORMAT " load %" G_GINT64_FORMAT
           " resume %" G_GINT64_FORMAT " running %" G_GINT64_FORMAT " us\n",
           times.disks, times.launch, times.load, times.resume,
           times.disks + times.launch + times.load + times.resume);
  g_print ("fill: %" G_GINT64_FORMAT " us %" G_GUINT64_FORMAT " MB/s faults %" G_GUINT64_FORMAT
           " mean %" G_GINT64_FORMAT " longest %" G_GINT64_FORMAT
           " us micro-pause %" G_GINT64_FORMAT " us\n",
           fill, fill > 0 ? pages * CS_PAGE_SIZE / (guint64)fill : 0, times.faults,
           times.faults > 0 ? times.fault_time / (gint64)times.faults : 0, times.fault_longest,
           times.micro_pause);
}

/* Fills, ends, and compares after the VM has run for a while. */
static bool
finish (CsRestore *restore, CsImage *image, CsBitmap **sets, GError **error)
{
  guint64 done, total;
  gint64 since = g_get_monotonic_time ();
  if (!cs_restore_finish (restore, NULL, error))
    return false;
  cs_restore_progress (restore, &done, &total);
  print_times (restore, g_get_monotonic_time () - since, total);
  g_usleep (G_USEC_PER_SEC);

  g_autoptr (CsTracker) tracker = cs_restore_steal_tracker (restore);
  g_autoptr (CsMonitor) monitor = cs_restore_steal_monitor (restore);
  CsBitmap **consumed = cs_restore_steal_dirty (restore);
  for (guint i = 0; consumed[i] != NULL; i++)
    cs_bitmap_or (sets[i], consumed[i]);
  free_sets (consumed);
  Comparison comparison = { .image = image, .tracker = tracker, .dirty = sets };
  return compare (monitor, &comparison, error);
}

static bool
finish_all (CsStore *store, CsRestore *restore, json_object *document, bool scan, GError **error)
{
  json_object *id;
  json_object_object_get_ex (document, "image", &id);
  g_autoptr (CsImage) image = cs_image_open (store, json_object_get_string (id), error);
  if (image == NULL)
    return false;
  CsBitmap **sets = new_sets (cs_restore_tracker (restore));
  bool ok =
      (!scan || scan_while_filling (restore, sets, error)) && finish (restore, image, sets, error);
  free_sets (sets);
  return ok;
}

static bool
load (CsRestore *restore, GError **error)
{
  if (!cs_restore_load (restore, NULL, error) || !check_load (cs_restore_tracker (restore), error)
      || !cs_restore_resume (restore, error))
    return false;
  cs_restore_commit (restore);
  return true;
}

static CsRestore *
begin (CsStore *store, json_object *document, bool lazy, const char *log_directory, GError **error)
{
  CsRestoreOptions options = { .lazy = lazy, .log_directory = log_directory };
  return cs_restore_new (store, document, &options, error);
}

static bool
restore_vm (char **arguments, GError **error)
{
  g_autoptr (CsStore) store = cs_store_open (arguments[0], error);
  json_object *document = json_object_from_file (arguments[1]);
  g_autoptr (CsRestore) restore =
      store == NULL
          ? NULL
          : begin (store, document, g_str_equal (arguments[2], "lazy"), arguments[3], error);
  bool ok = restore != NULL && load (restore, error)
            && finish_all (store, restore, document, true, error);
  json_object_put (document);
  return ok;
}

static bool
die (char **arguments, GError **error)
{
  g_autoptr (CsStore) store = cs_store_open (arguments[0], error);
  json_object *document = json_object_from_file (arguments[1]);
  g_autoptr (CsRestore) restore =
      store == NULL ? NULL : begin (store, document, true, arguments[3], error);
  bool ok = restore != NULL && load (restore, error);
  json_object *record = ok ? cs_restore_to_json (restore) : NULL;
  if (record != NULL && json_object_to_file (arguments[2], record) == 0)
    kill (getpid (), SIGKILL);
  return ok ? failed (error, "it should have died") : false;
}

static bool
adopt (char **arguments, GError **error)
{
  json_object *document;
  g_autoptr (CsStore) store = cs_store_open (arguments[0], error);
  json_object *record = json_object_from_file (arguments[1]);
  g_autoptr (CsRestore) restore =
      store == NULL ? NULL : cs_restore_from_json (store, record, error);
  bool ok = restore != NULL && json_object_object_get_ex (record, "vm", &document)
            && finish_all (store, restore, document, false, error);
  json_object_put (record);
  return ok;
}

static bool
init (char **arguments, GError **error)
{
  return cs_store_init (arguments[0], error);
}

static const struct
{
  const char *name;
  int arguments;
  bool (*run) (char **arguments, GError **error);
} commands[] = {
  { "init", 1, init }, { "save", 3, save },   { "restore", 4, restore_vm },
  { "die", 4, die },   { "adopt", 2, adopt },
};

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  setvbuf (stdout, NULL, _IOLBF, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (argc > 1 && g_str_equal (argv[1], commands[i].name) && argc == commands[i].arguments + 2)
      {
        if (cs_libvirt_init (&error) && commands[i].run (argv + 2, &error))
          return 0;
        g_printerr ("restore-one: %s\n", error->message);
        return 1;
      }
  g_printerr ("restore-one: see the head of its source\n");
  return 2;
}
