/* A thread that executes tasks one after the other: each VM has one, so that whatever
 * touches a VM's monitor, tracker and disks needs no lock. */
#ifndef CS_VMM_WORKER_H
#define CS_VMM_WORKER_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsWorker CsWorker;
typedef struct CsTask CsTask;

typedef bool (*CsTaskFunc) (gpointer data, GError **error);

/* @name: of the thread.  Its scheduling priority is raised where allowed (nice -20): what it does
 * in a pause competes with vCPUs of guests that still run. */
CsWorker *cs_worker_new (const char *name);
/* Ends it after the tasks already posted. */
void cs_worker_free (CsWorker *worker);

/* Queues @func; @data must live until cs_task_wait has returned. */
CsTask *cs_worker_post (CsWorker *worker, CsTaskFunc func, gpointer data);
/* Waits for the end of @task, frees it and returns what its function returned. */
bool cs_task_wait (CsTask *task, GError **error);

/* Post and wait. */
bool cs_worker_run (CsWorker *worker, CsTaskFunc func, gpointer data, GError **error);

#endif
