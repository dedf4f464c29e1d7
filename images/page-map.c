#include "config.h"

#include "images/page-map.h"

#include <string.h>

#define CHUNK 4096u

struct CsPageMap
{
  guint64 pages;
  guint64 count;
  guint64 n_chunks;
  CsLocation **chunks; /* NULL: all 0 */
};

CsPageMap *
cs_page_map_new (guint64 pages)
{
  guint64 n_chunks = pages / CHUNK + 1;
  CsLocation **chunks = g_try_malloc0_n (n_chunks, sizeof *chunks);
  if (chunks == NULL)
    return NULL;
  CsPageMap *map = g_new0 (CsPageMap, 1);
  map->pages = pages;
  map->n_chunks = n_chunks;
  map->chunks = chunks;
  return map;
}

void
cs_page_map_free (CsPageMap *map)
{
  if (map == NULL)
    return;
  for (guint64 i = 0; i < map->n_chunks; i++)
    g_free (map->chunks[i]);
  g_free (map->chunks);
  g_free (map);
}

guint64
cs_page_map_size (const CsPageMap *map)
{
  return map->pages;
}

guint64
cs_page_map_count (const CsPageMap *map)
{
  return map->count;
}

CsLocation
cs_page_map_get (const CsPageMap *map, guint64 page)
{
  g_assert (page < map->pages);
  const CsLocation *chunk = map->chunks[page / CHUNK];
  return chunk == NULL ? 0 : chunk[page % CHUNK];
}

void
cs_page_map_set (CsPageMap *map, guint64 page, CsLocation location)
{
  g_assert (page < map->pages);
  CsLocation **chunk = &map->chunks[page / CHUNK];
  if (*chunk == NULL)
    {
      if (location == 0)
        return;
      *chunk = g_new0 (CsLocation, CHUNK);
    }
  CsLocation *place = &(*chunk)[page % CHUNK];
  map->count = map->count - (*place != 0) + (location != 0);
  *place = location;
}

void
cs_page_map_clear (CsPageMap *map, guint64 first, guint64 end)
{
  for (guint64 page; first < end && cs_page_map_next (map, first, &page) && page < end;
       first = page + 1)
    cs_page_map_set (map, page, 0);
}

bool
cs_page_map_next (const CsPageMap *map, guint64 from, guint64 *page)
{
  for (guint64 i = from / CHUNK; i < map->n_chunks; i++)
    {
      const CsLocation *chunk = map->chunks[i];
      for (guint64 j = i == from / CHUNK ? from % CHUNK : 0; chunk != NULL && j < CHUNK; j++)
        if (chunk[j] != 0)
          {
            *page = i * CHUNK + j;
            return true;
          }
    }
  return false;
}
