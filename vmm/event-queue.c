#include "config.h"

#include "vmm/event-queue.h"

#define EVENTS_MAX 4096

typedef struct
{
  char *name;
  json_object *data;
} Event;

struct CsEventQueue
{
  gint references; /* atomic */

  GMutex lock;
  /* Under lock: */
  GCond changed;
  GQueue events; /* of Event, oldest first */
  const char *closed;
};

static void
event_free (Event *event)
{
  g_free (event->name);
  json_object_put (event->data);
  g_free (event);
}

CsEventQueue *
cs_event_queue_new (void)
{
  CsEventQueue *queue = g_new0 (CsEventQueue, 1);
  queue->references = 1;
  g_mutex_init (&queue->lock);
  g_cond_init (&queue->changed);
  g_queue_init (&queue->events);
  return queue;
}

CsEventQueue *
cs_event_queue_ref (CsEventQueue *queue)
{
  g_atomic_int_inc (&queue->references);
  return queue;
}

void
cs_event_queue_unref (CsEventQueue *queue)
{
  if (queue == NULL || !g_atomic_int_dec_and_test (&queue->references))
    return;
  g_queue_clear_full (&queue->events, (GDestroyNotify)event_free);
  g_cond_clear (&queue->changed);
  g_mutex_clear (&queue->lock);
  g_free (queue);
}

void
cs_event_queue_push (CsEventQueue *queue, const char *name, json_object *data)
{
  Event *event = g_new (Event, 1);
  event->name = g_strdup (name);
  event->data = data != NULL ? data : json_object_new_object ();
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  if (g_queue_get_length (&queue->events) >= EVENTS_MAX)
    event_free (g_queue_pop_head (&queue->events));
  g_queue_push_tail (&queue->events, event);
  g_cond_broadcast (&queue->changed);
}

static bool
event_matches (const Event *event, const char *name, const char *key, const char *value)
{
  if (!g_str_equal (event->name, name))
    return false;
  if (key == NULL)
    return true;
  json_object *member = NULL;
  return json_object_object_get_ex (event->data, key, &member)
         && json_object_is_type (member, json_type_string)
         && g_strcmp0 (json_object_get_string (member), value) == 0;
}

/* Lock held. */
static json_object *
take_locked (CsEventQueue *queue, const char *name, const char *key, const char *value)
{
  for (GList *link = queue->events.head; link != NULL; link = link->next)
    {
      Event *event = link->data;
      if (!event_matches (event, name, key, value))
        continue;
      json_object *data = g_steal_pointer (&event->data);
      event_free (event);
      g_queue_delete_link (&queue->events, link);
      return data;
    }
  return NULL;
}

json_object *
cs_event_queue_take (CsEventQueue *queue, const char *name, const char *key, const char *value)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  return take_locked (queue, name, key, value);
}

json_object *
cs_event_queue_wait (CsEventQueue *queue, const char *name, const char *key, const char *value,
                     gint64 deadline)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  for (;;)
    {
      json_object *data = take_locked (queue, name, key, value);
      if (data != NULL || queue->closed != NULL)
        return data;
      if (!g_cond_wait_until (&queue->changed, &queue->lock, deadline))
        return take_locked (queue, name, key, value);
    }
}

void
cs_event_queue_clear (CsEventQueue *queue)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  g_queue_clear_full (&queue->events, (GDestroyNotify)event_free);
}

void
cs_event_queue_close (CsEventQueue *queue, const char *why)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  if (queue->closed == NULL)
    queue->closed = why;
  g_cond_broadcast (&queue->changed);
}

const char *
cs_event_queue_closed (CsEventQueue *queue)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&queue->lock);
  return queue->closed;
}
