#include "config.h"

#include "images/segment-table.h"

#include "common/error.h"

/* Open files: well below the usual limit of 1024 descriptors. */
#define MAX_OPEN 128
/* Of a reader: each may keep one replaced segment from giving its space back. */
#define MAX_OPEN_READER 16

typedef struct
{
  CsSegmentInfo info;
  CsSegment *segment; /* or NULL */
  guint64 used;       /* of the table's clock */
} Entry;

struct CsSegmentTable
{
  /* immutable */
  CsBackend *backend;
  guint8 store[16];
  bool reader;
  guint max_open;

  /* under lock */
  GMutex lock;
  GHashTable *entries; /* number -> Entry */
  guint64 clock;
  guint n_open;
  guint32 highest;
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  cs_segment_unref (entry->segment);
  g_free (entry);
}

/* Lock held, or nobody else has the table yet. */
static Entry *
find (CsSegmentTable *table, guint32 number)
{
  return g_hash_table_lookup (table->entries, GUINT_TO_POINTER (number));
}

static void
drop_open (CsSegmentTable *table, Entry *entry)
{
  if (entry->segment == NULL)
    return;
  g_clear_pointer (&entry->segment, cs_segment_unref);
  table->n_open--;
}

static bool
add_object (const char *name, guint64 size, void *data, GError **error)
{
  CsSegmentTable *table = data;
  CsSegmentInfo info = { .size = size };
  if (!cs_segment_parse_object_name (name, &info.number))
    return true;
  info.damaged = !cs_segment_peek (table->backend, info.number, &info.nonce, &info.pages, NULL);
  cs_segment_table_set (table, &info);
  return true;
}

static CsSegmentTable *
table_alloc (CsBackend *backend, const guint8 *store)
{
  CsSegmentTable *table = g_new0 (CsSegmentTable, 1);
  table->backend = backend;
  memcpy (table->store, store, sizeof table->store);
  g_mutex_init (&table->lock);
  table->entries = g_hash_table_new_full (NULL, NULL, NULL, entry_free);
  table->max_open = MAX_OPEN;
  return table;
}

CsSegmentTable *
cs_segment_table_new_reader (CsBackend *backend, const guint8 *store)
{
  CsSegmentTable *table = table_alloc (backend, store);
  table->reader = true;
  table->max_open = MAX_OPEN_READER;
  return table;
}

CsSegmentTable *
cs_segment_table_new (CsBackend *backend, const guint8 *store, GError **error)
{
  g_autoptr (CsSegmentTable) table = table_alloc (backend, store);
  if (!cs_backend_list (backend, "segments/", add_object, table, error))
    return NULL;
  return g_steal_pointer (&table);
}

void
cs_segment_table_free (CsSegmentTable *table)
{
  if (table == NULL)
    return;
  g_hash_table_unref (table->entries);
  g_mutex_clear (&table->lock);
  g_free (table);
}

/* Lock held.  A walk over all entries, but only once per opened file. */
static void
make_room (CsSegmentTable *table)
{
  Entry *oldest = NULL;
  GHashTableIter iter;
  gpointer value;
  if (table->n_open < table->max_open)
    return;
  g_hash_table_iter_init (&iter, table->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;
      if (entry->segment != NULL && (oldest == NULL || entry->used < oldest->used))
        oldest = entry;
    }
  drop_open (table, oldest);
}

static CsSegment *
take_open (CsSegmentTable *table, guint32 number, bool *known)
{
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, number);
  CsSegment *segment = NULL;
  *known = entry != NULL;
  if (entry != NULL && entry->segment != NULL)
    {
      entry->used = ++table->clock;
      segment = cs_segment_ref (entry->segment);
    }
  g_mutex_unlock (&table->lock);
  return segment;
}

/* For a reader the version that was just opened is the one to keep. */
static void
note_version (CsSegmentTable *table, CsSegment *segment)
{
  CsSegmentInfo info = { .number = cs_segment_number (segment),
                         .nonce = cs_segment_nonce (segment),
                         .size = cs_segment_size (segment),
                         .pages = cs_segment_n_pages (segment) };
  cs_segment_table_set (table, &info);
}

CsSegment *
cs_segment_table_open (CsSegmentTable *table, guint32 number, GError **error)
{
  bool known;
  CsSegment *segment = take_open (table, number, &known);
  if (segment != NULL)
    return segment;
  if (!known && !table->reader)
    {
      g_autofree char *name = cs_segment_object_name (number);
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment '%s' is missing", name);
      return NULL;
    }
  segment = cs_segment_open (table->backend, table->store, number, error);
  if (segment == NULL)
    {
      cs_segment_table_note_damage (table, number);
      return NULL;
    }
  if (table->reader)
    note_version (table, segment);
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, number);
  /* Keep it only if it is still the version the table knows. */
  if (entry != NULL && entry->segment == NULL && entry->info.nonce == cs_segment_nonce (segment))
    {
      make_room (table);
      entry->segment = cs_segment_ref (segment);
      entry->used = ++table->clock;
      table->n_open++;
    }
  g_mutex_unlock (&table->lock);
  return segment;
}

void
cs_segment_table_set (CsSegmentTable *table, const CsSegmentInfo *info)
{
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, info->number);
  if (entry == NULL)
    {
      entry = g_new0 (Entry, 1);
      g_hash_table_insert (table->entries, GUINT_TO_POINTER (info->number), entry);
    }
  drop_open (table, entry);
  entry->info = *info;
  table->highest = MAX (table->highest, info->number);
  g_mutex_unlock (&table->lock);
}

void
cs_segment_table_remove (CsSegmentTable *table, guint32 number)
{
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, number);
  if (entry != NULL)
    {
      drop_open (table, entry);
      g_hash_table_remove (table->entries, GUINT_TO_POINTER (number));
    }
  g_mutex_unlock (&table->lock);
}

bool
cs_segment_table_usable (CsSegmentTable *table, guint32 number)
{
  g_mutex_lock (&table->lock);
  const Entry *entry = find (table, number);
  bool usable = entry != NULL && !entry->info.damaged && !entry->info.condemned;
  g_mutex_unlock (&table->lock);
  return usable;
}

void
cs_segment_table_condemn (CsSegmentTable *table, guint32 number, bool condemned)
{
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, number);
  if (entry != NULL)
    entry->info.condemned = condemned;
  g_mutex_unlock (&table->lock);
}

void
cs_segment_table_note_damage (CsSegmentTable *table, guint32 number)
{
  g_mutex_lock (&table->lock);
  Entry *entry = find (table, number);
  if (entry != NULL)
    entry->info.damaged = true;
  g_mutex_unlock (&table->lock);
}

static gint
by_number (gconstpointer a, gconstpointer b)
{
  const CsSegmentInfo *left = a, *right = b;
  return (left->number > right->number) - (left->number < right->number);
}

GArray *
cs_segment_table_list (CsSegmentTable *table)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (CsSegmentInfo));
  GHashTableIter iter;
  gpointer value;
  g_mutex_lock (&table->lock);
  g_hash_table_iter_init (&iter, table->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_array_append_val (list, ((Entry *)value)->info);
  g_mutex_unlock (&table->lock);
  g_array_sort (list, by_number);
  return list;
}

guint32
cs_segment_table_highest (CsSegmentTable *table)
{
  g_mutex_lock (&table->lock);
  guint32 highest = table->highest;
  g_mutex_unlock (&table->lock);
  return highest;
}
