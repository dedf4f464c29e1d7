/* The store: where snapshots live.
 *
 * A store is a set of plain objects in a backend (a local directory today):
 *
 *   clusnap-store.json         what this is: format, version, UUID
 *   segments/NNNNNNNN          immutable; frames of compressed pages and a footer
 *   images/ID                  the page map of one image, a delta to its parent
 *   hints/ID                   what a restore of that image touches first; only a cache
 *   manifests/CLUSTER/SNAPSHOT a JSON document; a snapshot exists when this does
 *   roots/NAME                 a JSON document that keeps images alive as a manifest does
 *   index/                     LMDB, SHA-256 -> page location; only a cache
 *   lock                       held (flock) by the one process that has it open
 *   tmp/                       what is being written; emptied when a store is opened
 *
 * Order of durability: segments, images, manifest.  What no manifest reaches is
 * garbage, which cs_store_gc removes.
 *
 * Threads: a CsStore may be used from any thread; a CsImageWriter has one owner.
 */
#ifndef CS_IMAGES_STORE_H
#define CS_IMAGES_STORE_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

typedef struct CsStore CsStore;

/* Makes an empty store in directory @path, which must be absent or empty. */
bool cs_store_init (const char *path, GError **error);

/* Opens the store in directory @path for this process alone.  Errors: NOT_FOUND
 * (no directory: says to run `clusnap store init`), INVALID (not a clusnap store,
 * or of a newer version), BUSY (another process has it open).  An index that is
 * absent or damaged is rebuilt from the segments. */
CsStore *cs_store_open (const char *path, GError **error);
void cs_store_close (CsStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsStore, cs_store_close)

/* Opens it for reading images and documents only, beside a process that has it open, garbage
 * collection included.  What the caller reads must be kept alive: by a manifest, a root, or a pin
 * of the other process.  Whatever would write fails with PERMISSION. */
CsStore *cs_store_open_reader (const char *path, GError **error);

const char *cs_store_path (const CsStore *store);
const char *cs_store_uuid (const CsStore *store);

/* Makes durable, in this order, every page put so far (seals the open segment)
 * and every image finished so far.  One call serves the images of many writers.
 * On failure none of those images is published and the store stays usable. */
bool cs_store_commit (CsStore *store, GError **error);

/* Called now and then during long work; @total may be 0 when unknown.  Returns
 * false to stop the work, which then fails with CANCELLED. */
typedef bool (*CsProgressFunc) (guint64 done, guint64 total, void *data);

/* Manifests.  A name has 1 to 128 bytes of [A-Za-z0-9._-] and begins with a
 * letter or digit; anything else is INVALID (names become file names).
 *
 * @manifest must have the member "images": an array of image ids, all published;
 * the rest is the caller's and comes back as it was.  `put` is atomic and durable and
 * refuses to replace (EXISTS).  `get` returns a new reference; a damaged document is
 * CORRUPT and named. */
bool cs_store_manifest_put (CsStore *store, const char *cluster, const char *snapshot,
                            json_object *manifest, GError **error);
json_object *cs_store_manifest_get (CsStore *store, const char *cluster, const char *snapshot,
                                    GError **error);
bool cs_store_manifest_delete (CsStore *store, const char *cluster, const char *snapshot,
                               GError **error);

typedef struct
{
  char *cluster;
  char *snapshot;
} CsManifestName;

/* All manifests, of @cluster only unless it is NULL, by name: GPtrArray of
 * CsManifestName with a free function. */
GPtrArray *cs_store_manifest_list (CsStore *store, const char *cluster, GError **error);

/* Roots: documents that keep images alive without being snapshots, for what goes on reading them
 * although their snapshot may be deleted (the disks of a clone or of a restore).  Unlike a pin
 * a root outlives the process.  Names, the member "images", durability and errors are as a
 * manifest's; "format" and "version" are added by put.  A damaged root stops garbage collection. */
bool cs_store_root_put (CsStore *store, const char *name, json_object *root, GError **error);
json_object *cs_store_root_get (CsStore *store, const char *name, GError **error);
bool cs_store_root_remove (CsStore *store, const char *name, GError **error);
/* The names, sorted: GPtrArray of strings with a free function. */
GPtrArray *cs_store_root_list (CsStore *store, GError **error);

/* An image that is not (or no longer) named by a manifest but still needed: the
 * base of a running VM's next delta, or the source of a lazy restore.  Counted;
 * kept in memory only. */
void cs_store_pin (CsStore *store, const char *image);
void cs_store_unpin (CsStore *store, const char *image);

/* An image just committed is kept until a manifest names it (or the process ends).
 * This gives up one that none will name, so that garbage collection may have it. */
void cs_store_discard (CsStore *store, const char *image);

typedef struct
{
  guint64 images_removed;
  guint64 segments_removed;   /* no page of theirs was needed */
  guint64 segments_rewritten; /* some were: dead pages blanked, references stay valid */
  guint64 pages_removed;
  guint64 bytes_freed; /* in the backend */
} CsStoreGcReport;

/* Gives the space of unreachable objects back.  Safe at any moment: work of
 * writers in progress is left alone, and an interruption (also kill -9) leaves
 * every listed snapshot whole.  Images that no manifest or root names, not pinned and not just
 * committed, cannot be opened afterwards, even where descendants still need their file.
 * Refuses with CORRUPT, removing nothing, while a manifest, a root or an image that one names
 * is damaged: what that needs cannot be told; delete that snapshot first.
 * @dry_run only reports (bytes_freed is then an estimate). */
bool cs_store_gc (CsStore *store, bool dry_run, CsProgressFunc progress, void *data,
                  CsStoreGcReport *report, GError **error);

typedef struct
{
  guint64 snapshots;
  guint64 roots;
  guint64 images;
  guint64 segments;
  guint64 bytes; /* all objects, as the backend holds them */
  guint64 segment_bytes;
  guint64 pages;      /* stored, distinct */
  guint64 referenced; /* non-zero pages of all listed snapshots and roots, counted once per image */
  guint64 raw_bytes;  /* pages * 4 KiB: before compression */
} CsStoreStats;

/* Dedup ratio = referenced / pages; compression ratio = raw_bytes / segment_bytes. */
bool cs_store_stats (CsStore *store, CsStoreStats *stats, GError **error);

#endif
