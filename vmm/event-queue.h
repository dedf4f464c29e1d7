/* The events of one VM that nobody has waited for yet.
 *
 * Threads: any (one lock inside, never held across a wait for something else).  The QMP
 * transport fills it from the owner's own thread, the libvirt transport from libvirt's event
 * loop. */
#ifndef CS_VMM_EVENT_QUEUE_H
#define CS_VMM_EVENT_QUEUE_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

typedef struct CsEventQueue CsEventQueue;

/* Referenced: libvirt may still deliver an event while its receiver is being closed. */
CsEventQueue *cs_event_queue_new (void);
CsEventQueue *cs_event_queue_ref (CsEventQueue *queue);
void cs_event_queue_unref (CsEventQueue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsEventQueue, cs_event_queue_unref)

/* Adds event @name with @data (a reference that this call takes; NULL for none).  Beyond
 * 4096 events the oldest goes: a guest can provoke events, and must not fill our memory. */
void cs_event_queue_push (CsEventQueue *queue, const char *name, json_object *data);

/* Takes out the oldest event @name whose member @key is the string @value (@key NULL: any):
 * its data (never NULL: {} for an event without), or NULL when there is none. */
json_object *cs_event_queue_take (CsEventQueue *queue, const char *name, const char *key,
                                  const char *value);

/* The same, but waits until @deadline (g_get_monotonic_time) or until the queue is closed. */
json_object *cs_event_queue_wait (CsEventQueue *queue, const char *name, const char *key,
                                  const char *value, gint64 deadline);

void cs_event_queue_clear (CsEventQueue *queue);

/* The source has ended for the reason @why (static string; the first one stays): wakes all. */
void cs_event_queue_close (CsEventQueue *queue, const char *why);
/* That reason, or NULL while the source lives. */
const char *cs_event_queue_closed (CsEventQueue *queue);

#endif
