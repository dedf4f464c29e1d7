/* The packer: where the new pages of all writers of a store come together.
 *
 * Theory of operation: packer.c.
 * Threads: any; a CsPackerUser has one owner.  Its lock is the store's busiest one
 * and is never held across I/O, compression or hashing.
 */
#ifndef CS_IMAGES_PACKER_H
#define CS_IMAGES_PACKER_H

#include "images/index.h"

typedef struct CsPacker CsPacker;
typedef struct CsPackerUser CsPackerUser;

/* A page to store: not zero, hashed. */
typedef struct
{
  guint8 hash[CS_HASH_LENGTH];
  const void *data;
  CsLocation location; /* result */
  bool stored;         /* result: it was new */
} CsPackerPage;

/* @name: what error messages call the store (borrowed, as are the others). */
CsPacker *cs_packer_new (const char *name, CsBackend *backend, const guint8 *store, CsIndex *index,
                         CsSegmentTable *segments);
/* Gives up what was not flushed. */
void cs_packer_free (CsPacker *packer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPacker, cs_packer_free)

/* A user stands for one image being written: from here until it is freed, no segment that
 * its pages lie in is touched by garbage collection. */
CsPackerUser *cs_packer_user_new (CsPacker *packer);
void cs_packer_user_free (CsPackerUser *user);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPackerUser, cs_packer_user_free)

/* Gives each of the @n pages its final location, storing those that are new.  Fails when any
 * segment failed since the user was made, as some of its pages may have been there. */
bool cs_packer_put (CsPacker *packer, CsPackerUser *user, CsPackerPage *pages, guint n,
                    GError **error);

/* Whether all the user's pages can still become durable; the same error as put's. */
bool cs_packer_user_check (CsPackerUser *user, GError **error);

/* Compressed bytes of the new pages whose frames were written, and how many these are. */
void cs_packer_user_bytes (CsPackerUser *user, guint64 *bytes, guint64 *pages);

/* Makes every page put so far durable: seals the open segment and waits for those under way.
 * Failures are found by cs_packer_user_check. */
void cs_packer_flush (CsPacker *packer);

/* The numbers of all segments that a user's pages lie in, as a set. */
GHashTable *cs_packer_used_segments (CsPacker *packer);

/* Locks dedup out of the segments in @candidates (GArray of CsSegmentInfo; @dry_run: does
 * not), but takes those from it that a user's pages lie in.  cs_packer_pardon readmits one,
 * once the index tells the truth about it again. */
void cs_packer_condemn (CsPacker *packer, GArray *candidates, bool dry_run);
void cs_packer_pardon (CsPacker *packer, guint32 segment);

#endif
