#include "config.h"

#include "vmm/worker.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct CsWorker
{
  GThread *thread;
  GAsyncQueue *queue; /* of CsTask; the one without a function ends the thread */
};

struct CsTask
{
  /* immutable */
  CsTaskFunc func;
  gpointer data;
  /* under lock */
  GMutex lock;
  GCond ended;
  bool done;
  bool result;
  GError *error;
};

static CsTask *
task_new (CsTaskFunc func, gpointer data)
{
  CsTask *task = g_new0 (CsTask, 1);
  task->func = func;
  task->data = data;
  g_mutex_init (&task->lock);
  g_cond_init (&task->ended);
  return task;
}

static void
task_free (CsTask *task)
{
  g_clear_error (&task->error);
  g_mutex_clear (&task->lock);
  g_cond_clear (&task->ended);
  g_free (task);
}

static gpointer
worker_main (gpointer data)
{
  CsWorker *worker = data;
  setpriority (PRIO_PROCESS, (id_t)syscall (SYS_gettid), -20);
  for (;;)
    {
      CsTask *task = g_async_queue_pop (worker->queue);
      if (task->func == NULL)
        {
          task_free (task);
          return NULL;
        }
      GError *error = NULL;
      bool result = task->func (task->data, &error);
      g_mutex_lock (&task->lock);
      task->result = result;
      task->error = error;
      task->done = true;
      g_cond_signal (&task->ended);
      g_mutex_unlock (&task->lock);
    }
}

CsWorker *
cs_worker_new (const char *name)
{
  CsWorker *worker = g_new0 (CsWorker, 1);
  worker->queue = g_async_queue_new ();
  worker->thread = g_thread_new (name, worker_main, worker);
  return worker;
}

void
cs_worker_free (CsWorker *worker)
{
  if (worker == NULL)
    return;
  g_async_queue_push (worker->queue, task_new (NULL, NULL));
  g_thread_join (worker->thread);
  g_async_queue_unref (worker->queue);
  g_free (worker);
}

CsTask *
cs_worker_post (CsWorker *worker, CsTaskFunc func, gpointer data)
{
  CsTask *task = task_new (func, data);
  g_async_queue_push (worker->queue, task);
  return task;
}

bool
cs_task_wait (CsTask *task, GError **error)
{
  g_mutex_lock (&task->lock);
  while (!task->done)
    g_cond_wait (&task->ended, &task->lock);
  g_mutex_unlock (&task->lock);
  bool result = task->result;
  if (!result)
    g_propagate_error (error, g_steal_pointer (&task->error));
  task_free (task);
  return result;
}

bool
cs_worker_run (CsWorker *worker, CsTaskFunc func, gpointer data, GError **error)
{
  return cs_task_wait (cs_worker_post (worker, func, data), error);
}
