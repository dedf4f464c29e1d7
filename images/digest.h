/* What decides whether two pages are the same: all zero, or SHA-256. */
#ifndef CS_IMAGES_DIGEST_H
#define CS_IMAGES_DIGEST_H

#include "images/location.h"

#include <stdbool.h>

/* A reusable SHA-256 context; one owner at a time. */
typedef struct CsDigest CsDigest;

CsDigest *cs_digest_new (GError **error);
void cs_digest_free (CsDigest *digest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDigest, cs_digest_free)

void cs_digest_page (CsDigest *digest, const void *page, guint8 hash[CS_HASH_LENGTH]);

bool cs_page_is_zero (const void *page);

/* A slot whose hash is zero was blanked by garbage collection. */
bool cs_hash_is_zero (const guint8 hash[CS_HASH_LENGTH]);

#endif
