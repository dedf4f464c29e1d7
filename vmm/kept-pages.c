#include "config.h"

#include "vmm/kept-pages.h"

typedef struct
{
  const CsStore *store;
  char *image;
  CsHeldPages *held;
  gint64 put_at;
} Entry;

struct CsKeptPages
{
  guint64 limit;

  /* under lock */
  GMutex lock;
  GHashTable *entries; /* VM -> Entry */
  guint64 size;        /* bytes of all */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  cs_held_pages_free (entry->held);
  g_free (entry->image);
  g_free (entry);
}

CsKeptPages *
cs_kept_pages_new (guint64 limit)
{
  CsKeptPages *kept = g_new0 (CsKeptPages, 1);
  kept->limit = limit;
  g_mutex_init (&kept->lock);
  kept->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, entry_free);
  return kept;
}

void
cs_kept_pages_free (CsKeptPages *kept)
{
  if (kept == NULL)
    return;
  g_hash_table_unref (kept->entries);
  g_mutex_clear (&kept->lock);
  g_free (kept);
}

/* Locked.  NULL: there is none.  Unmapping takes time: outside the lock. */
static Entry *
steal (CsKeptPages *kept, const char *vm)
{
  gpointer name, entry;
  if (vm == NULL || !g_hash_table_steal_extended (kept->entries, vm, &name, &entry))
    return NULL;
  g_free (name);
  kept->size -= cs_held_pages_size (((Entry *)entry)->held);
  return entry;
}

/* Locked.  The VM whose pages were put first, before @since; NULL: none. */
static const char *
oldest (CsKeptPages *kept, gint64 since)
{
  GHashTableIter each;
  gpointer name, data;
  const char *found = NULL;
  g_hash_table_iter_init (&each, kept->entries);
  while (g_hash_table_iter_next (&each, &name, &data))
    if (((Entry *)data)->put_at < since)
      {
        found = name;
        since = ((Entry *)data)->put_at;
      }
  return found;
}

void
cs_kept_pages_put (CsKeptPages *kept, const char *vm, const CsStore *store, const char *image,
                   CsHeldPages *held)
{
  g_autoptr (GPtrArray) dropped = g_ptr_array_new_with_free_func (entry_free);
  Entry *entry = g_new (Entry, 1);
  *entry = (Entry){ store, g_strdup (image), held, g_get_monotonic_time () };
  guint64 size = cs_held_pages_size (held);
  g_mutex_lock (&kept->lock);
  Entry *old = steal (kept, vm);
  if (old != NULL)
    g_ptr_array_add (dropped, old);
  if (size > kept->limit)
    g_ptr_array_add (dropped, g_steal_pointer (&entry));
  while (entry != NULL && kept->size + size > kept->limit)
    g_ptr_array_add (dropped, steal (kept, oldest (kept, G_MAXINT64)));
  if (entry != NULL)
    {
      g_hash_table_insert (kept->entries, g_strdup (vm), entry);
      kept->size += size;
    }
  g_mutex_unlock (&kept->lock);
}

CsHeldPages *
cs_kept_pages_take (CsKeptPages *kept, const char *vm, const CsStore *store, char **image)
{
  g_mutex_lock (&kept->lock);
  Entry *entry = steal (kept, vm);
  g_mutex_unlock (&kept->lock);
  CsHeldPages *held = NULL;
  if (entry != NULL && entry->store == store)
    {
      held = g_steal_pointer (&entry->held);
      *image = g_steal_pointer (&entry->image);
    }
  if (entry != NULL)
    entry_free (entry);
  return held;
}

void
cs_kept_pages_expire (CsKeptPages *kept, gint64 since)
{
  g_autoptr (GPtrArray) dropped = g_ptr_array_new_with_free_func (entry_free);
  const char *vm;
  g_mutex_lock (&kept->lock);
  while ((vm = oldest (kept, since)) != NULL)
    g_ptr_array_add (dropped, steal (kept, vm));
  g_mutex_unlock (&kept->lock);
}

guint64
cs_kept_pages_size (CsKeptPages *kept)
{
  g_mutex_lock (&kept->lock);
  guint64 size = kept->size;
  g_mutex_unlock (&kept->lock);
  return size;
}
