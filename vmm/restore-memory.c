#include "config.h"

#include "vmm/restore-memory.h"

#include <string.h>

#include "common/error.h"
#include "images/read-plan.h"
#include "vmm/lazy-mapping.h"

/* Threads that write a large block. */
#define WRITERS 4
/* A block of this size is written directly rather than through QEMU's main loop. */
#define LARGE (32 * 1024 * 1024)

typedef struct
{
  CsRamBlock *info; /* QEMU's, with the length that it will have */
  guint volume;
  bool streamed;
  CsBitmap *stale; /* pages that may hold something; NULL: any may */
} Block;

struct CsRestoreMemory
{
  pid_t pid;
  CsImage *image;
  const char *vm; /* of the document */
  GCancellable *cancellable;
  GPtrArray *infos;     /* of CsRamBlock */
  CsMappings *mappings; /* before anything is changed */
  GArray *blocks;       /* of Block, in QEMU's order */
  CsLazy *lazy;
  CsTracker *tracker;
};

static void
block_clear (gpointer data)
{
  cs_bitmap_free (((Block *)data)->stale);
}

void
cs_restore_memory_free (CsRestoreMemory *memory)
{
  if (memory == NULL)
    return;
  cs_lazy_free (memory->lazy);
  cs_tracker_free (memory->tracker);
  g_array_unref (memory->blocks);
  g_clear_pointer (&memory->infos, g_ptr_array_unref);
  cs_mappings_free (memory->mappings);
  g_free (memory);
}

/* --- QEMU's blocks against the snapshot's --- */

static const CsRestoreBlock *
find_saved (const CsRestoreDocument *document, const char *name)
{
  for (guint i = 0; i < document->blocks->len; i++)
    {
      const CsRestoreBlock *block = &g_array_index (document->blocks, CsRestoreBlock, i);
      if (g_str_equal (block->name, name))
        return block;
    }
  return NULL;
}

/* QEMU itself resizes a resizable block (ACPI tables) when it loads the block list. */
static bool
adapt_length (const char *vm, CsRamBlock *info, const CsRestoreBlock *saved, GError **error)
{
  bool resizable = info->max_length > info->used_length;
  if (info->used_length != saved->length && !(resizable && saved->length <= info->max_length))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "VM '%s': RAM block '%s' had %" G_GUINT64_FORMAT
                   " bytes when it was saved, the new QEMU has %" G_GUINT64_FORMAT
                   ": its definition has changed",
                   vm, info->name, saved->length, info->used_length);
      return false;
    }
  info->used_length = saved->length;
  return true;
}

static bool
match_blocks (CsRestoreMemory *memory, const CsRestoreDocument *document, GError **error)
{
  for (guint i = 0; i < memory->infos->len; i++)
    {
      Block block = { .info = g_ptr_array_index (memory->infos, i) };
      const CsRestoreBlock *saved = find_saved (document, block.info->name);
      if (saved == NULL)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                       "VM '%s': the new QEMU has a RAM block '%s' that the snapshot does not "
                       "have: its definition has changed",
                       memory->vm, block.info->name);
          return false;
        }
      if (!adapt_length (memory->vm, block.info, saved, error))
        return false;
      block.volume = saved->volume;
      g_array_append_val (memory->blocks, block);
    }
  return true;
}

static bool
check_none_missing (CsRestoreMemory *memory, const CsRestoreDocument *document, GError **error)
{
  for (guint i = 0; i < document->blocks->len; i++)
    {
      const CsRestoreBlock *saved = &g_array_index (document->blocks, CsRestoreBlock, i);
      bool found = false;
      for (guint k = 0; !found && k < memory->infos->len; k++)
        found =
            g_str_equal (((CsRamBlock *)g_ptr_array_index (memory->infos, k))->name, saved->name);
      if (found)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "VM '%s': the new QEMU has no RAM block '%s': a device or memory was plugged in "
                   "while it ran; add it to the VM's definition",
                   memory->vm, saved->name);
      return false;
    }
  return true;
}

/* --- writing a large block --- */

typedef struct
{
  pid_t pid;
  const CsRamBlock *info;
} Target;

static bool
write_run (guint64 page, guint64 count, const void *data, void *user_data, GError **error)
{
  const Target *target = user_data;
  return cs_mapping_write (target->pid, target->info->host + page * CS_PAGE_SIZE, data,
                           count * CS_PAGE_SIZE, error);
}

/* What is zero in the image must not show what QEMU's start, or an older run, left there. */
static bool
clear_stale (CsRestoreMemory *memory, const Block *block, GError **error)
{
  static const guint8 zeros[CS_PAGE_SIZE];
  for (guint64 page = 0; page < block->info->used_length / CS_PAGE_SIZE; page++)
    if ((block->stale == NULL || cs_bitmap_test (block->stale, page))
        && cs_image_page_is_zero (memory->image, block->volume, page)
        && !cs_mapping_write (memory->pid, block->info->host + page * CS_PAGE_SIZE, zeros,
                              CS_PAGE_SIZE, error))
      return false;
  return true;
}

static bool
write_block (CsRestoreMemory *memory, const Block *block, GError **error)
{
  Target target = { memory->pid, block->info };
  g_autoptr (CsReadPlan) plan = cs_read_plan_new (memory->image, block->volume);
  return clear_stale (memory, block, error)
         && cs_read_plan_read_all (plan, WRITERS, write_run, &target, memory->cancellable, error);
}

/* --- how each block is loaded --- */

/* Finds which pages may hold something. */
static bool
survey (CsRestoreMemory *memory, Block *block, CsMappingKind kind, GError **error)
{
  const CsRamBlock *info = block->info;
  if (kind == CS_MAPPING_OTHER)
    return true;
  if (kind == CS_MAPPING_SHARED_MEMORY && info->used_length >= LARGE
      && !cs_mapping_punch (memory->pid, info->host, info->used_length, error))
    return false;
  if (kind == CS_MAPPING_SHARED_MEMORY && info->used_length < LARGE)
    return true; /* the file may hold pages that QEMU has not mapped */
  block->stale = cs_bitmap_new (info->used_length / CS_PAGE_SIZE);
  return cs_mapping_present (memory->pid, info->host, info->used_length, true, block->stale, error);
}

static bool
prepare_block (CsRestoreMemory *memory, Block *block, GError **error)
{
  CsMappingKind kind =
      cs_mappings_kind (memory->mappings, block->info->host, block->info->used_length);
  if (memory->lazy != NULL && cs_lazy_suits (block->info, kind))
    return cs_lazy_add_block (memory->lazy, block->info, kind, block->volume, error);
  if (!survey (memory, block, kind, error))
    return false;
  block->streamed = block->info->used_length < LARGE;
  if (!block->streamed && !write_block (memory, block, error))
    return false;
  return memory->lazy == NULL || cs_lazy_add_eager_block (memory->lazy, block->info, error);
}

static bool
prepare_blocks (CsRestoreMemory *memory, CsMonitor *monitor, bool lazy, GError **error)
{
  memory->mappings = cs_mappings_read (memory->pid, error);
  if (memory->mappings == NULL
      || (lazy && (memory->lazy = cs_lazy_new (monitor, memory->image, error)) == NULL))
    return false;
  for (guint i = 0; i < memory->blocks->len; i++)
    {
      Block *block = &g_array_index (memory->blocks, Block, i);
      if (!prepare_block (memory, block, error))
        {
          g_prefix_error (error, "VM '%s': RAM block '%s': ", memory->vm, block->info->name);
          return false;
        }
    }
  if (lazy)
    return true;
  memory->tracker = cs_tracker_new (monitor, error);
  return memory->tracker != NULL
         && cs_tracker_set_blocks (memory->tracker, memory->infos, NULL, error);
}

CsRestoreMemory *
cs_restore_memory_new (CsMonitor *monitor, CsImage *image, const CsRestoreDocument *document,
                       bool lazy, GCancellable *cancellable, GError **error)
{
  g_autoptr (CsRestoreMemory) memory = g_new0 (CsRestoreMemory, 1);
  memory->pid = cs_monitor_pid (monitor);
  memory->image = image;
  memory->vm = document->name;
  memory->cancellable = cancellable;
  memory->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  g_array_set_clear_func (memory->blocks, block_clear);
  memory->infos = cs_ram_blocks_query (monitor, error);
  if (memory->infos == NULL || !check_none_missing (memory, document, error)
      || !match_blocks (memory, document, error) || !prepare_blocks (memory, monitor, lazy, error))
    return NULL;
  return g_steal_pointer (&memory);
}

/* --- the small ones --- */

static bool
stream_page (CsRestoreMemory *memory, CsStream *stream, guint i, guint64 page, GError **error)
{
  const Block *block = &g_array_index (memory->blocks, Block, i);
  if (cs_image_page_is_zero (memory->image, block->volume, page))
    return (block->stale != NULL && !cs_bitmap_test (block->stale, page))
           || cs_stream_zero_page (stream, i, page, error);
  guint8 data[CS_PAGE_SIZE];
  return cs_image_read (memory->image, block->volume, page, 1, data, error)
         && cs_stream_page (stream, i, page, data, error);
}

bool
cs_restore_memory_stream (CsRestoreMemory *memory, CsStream *stream, GError **error)
{
  for (guint i = 0; i < memory->blocks->len; i++)
    {
      const Block *block = &g_array_index (memory->blocks, Block, i);
      cs_stream_add_block (stream, block->info->name, block->info->used_length);
    }
  if (!cs_stream_begin (stream, error))
    return false;
  for (guint i = 0; i < memory->blocks->len; i++)
    {
      const Block *block = &g_array_index (memory->blocks, Block, i);
      for (guint64 page = 0; block->streamed && page < block->info->used_length / CS_PAGE_SIZE;
           page++)
        if (!stream_page (memory, stream, i, page, error))
          return false;
    }
  return true;
}

CsLazy *
cs_restore_memory_steal_lazy (CsRestoreMemory *memory)
{
  return g_steal_pointer (&memory->lazy);
}

CsTracker *
cs_restore_memory_steal_tracker (CsRestoreMemory *memory)
{
  return g_steal_pointer (&memory->tracker);
}
