/* The shared pages in this process: anonymous memory under userfaultfd.  One thread calls all but
 * new and free; it never touches a page that is not there. */
#ifndef CS_DSM_REGION_H
#define CS_DSM_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CsRegion CsRegion;

/* NULL with errno; @why says what failed (static). */
CsRegion *cs_region_new (uint32_t pages, const char **why);
void cs_region_free (CsRegion *region);

void *cs_region_memory (const CsRegion *region);
int cs_region_fd (const CsRegion *region); /* POLLIN: a fault */

/* Takes the next fault; false when there is none. */
bool cs_region_fault (CsRegion *region, uint32_t *page, bool *write);

void cs_region_install (CsRegion *region, uint32_t page, const uint8_t *content, bool writable);
void cs_region_allow (CsRegion *region, uint32_t page);
void cs_region_protect (CsRegion *region, uint32_t page);
void cs_region_drop (CsRegion *region, uint32_t page);
void cs_region_read (const CsRegion *region, uint32_t page, uint8_t *content);
void cs_region_wake (CsRegion *region, uint32_t page);

/* Whoever waits for @page, or touches it later, gets SIGBUS with its address. */
void cs_region_poison (CsRegion *region, uint32_t page);

#endif
