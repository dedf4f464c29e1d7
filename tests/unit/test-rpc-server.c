#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "tests/unit/unit.h"
#include "vmm/rpc-server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- a server with a few methods ---- */

static GMutex lock;
static GCond changed;
static guint cancelled, freed;

static void
job_cancel (gpointer job)
{
  g_mutex_lock (&lock);
  cancelled++;
  g_cond_broadcast (&changed);
  g_mutex_unlock (&lock);
}

static void
job_free (gpointer job)
{
  g_mutex_lock (&lock);
  freed++;
  g_cond_broadcast (&changed);
  g_mutex_unlock (&lock);
}

static const CsRpcJobClass job_class = { job_cancel, job_free };

static json_object *
echo (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *text = cs_rpc_string (params, "text", error);
  if (text == NULL)
    return NULL;
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "text", text);
  return result;
}

static json_object *
begin (CsRpcPeer *peer, json_object *params, GError **error)
{
  return cs_rpc_peer_set_job (peer, &job_class, &lock, error) ? json_object_new_object () : NULL;
}

/* Runs until the job is cancelled. */
static json_object *
wait_cancelled (CsRpcPeer *peer, json_object *params, GError **error)
{
  g_mutex_lock (&lock);
  while (cancelled == 0)
    g_cond_wait (&changed, &lock);
  g_mutex_unlock (&lock);
  g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "cancelled");
  return NULL;
}

static json_object *
end (CsRpcPeer *peer, json_object *params, GError **error)
{
  cs_rpc_peer_end_job (peer);
  return json_object_new_object ();
}

static void
fail_job (CsRpcPeer *peer)
{
  cs_rpc_peer_fail_job (peer, g_error_new (CS_ERROR, CS_ERROR_DEADLINE, "it took too long"));
}

/* The job fails after this has been answered. */
static json_object *
fail_later (CsRpcPeer *peer, json_object *params, GError **error)
{
  cs_rpc_peer_post (peer, fail_job);
  return json_object_new_object ();
}

static json_object *
look (CsRpcPeer *peer, json_object *params, GError **error)
{
  return cs_rpc_peer_job (peer, &job_class, error) ? json_object_new_object () : NULL;
}

static const CsRpcMethod methods[] = { { "echo", echo },
                                       { "begin", begin },
                                       { "wait", wait_cancelled },
                                       { "fail later", fail_later },
                                       { "look", look },
                                       { "job.abort", end },
                                       { NULL, NULL } };

static char *directory, *path;
static CsRpcServer *server;

static void
setup (void)
{
  directory = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  path = g_build_filename (directory, "sock", NULL);
  server = cs_rpc_server_new (path, methods, NULL, NULL);
  ck_assert_ptr_nonnull (server);
}

static void
teardown (void)
{
  cs_rpc_server_free (server);
  ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
  rmdir (directory);
  g_free (directory);
  g_free (path);
}

static FILE *
connect_to (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq (connect (fd, (struct sockaddr *)&address, sizeof address), 0);
  return fdopen (fd, "r+");
}

/* The next answer, parsed. */
static json_object *
read_answer (FILE *stream)
{
  char *answer = NULL;
  size_t size = 0;
  ck_assert_int_gt (getline (&answer, &size, stream), 0);
  json_object *object = json_tokener_parse (answer);
  free (answer);
  return object;
}

/* All answers that came must have been read: a socket's stream cannot turn with some in its buffer.
 */
static json_object *
ask (FILE *stream, const char *line)
{
  fprintf (stream, "%s\n", line);
  fflush (stream);
  return read_answer (stream);
}

static void
assert_error_code (json_object *answer, const char *code)
{
  ck_assert_str_eq (cs_json_string (cs_json_member_object (answer, "error"), "code"), code);
  json_object_put (answer);
}

START_TEST (answers_carry_the_id)
{
  FILE *stream = connect_to ();
  json_object *answer =
      ask (stream, "{\"id\":\"x7\",\"method\":\"echo\",\"params\":{\"text\":\"hi\"}}");
  ck_assert_str_eq (cs_json_string (answer, "id"), "x7");
  ck_assert_str_eq (cs_json_string (cs_json_member_object (answer, "result"), "text"), "hi");
  json_object_put (answer);
  fclose (stream);
}
END_TEST

START_TEST (bad_requests_are_refused)
{
  FILE *stream = connect_to ();
  assert_error_code (ask (stream, "{\"id\":1,\"method\":\"no such\"}"), "unsupported");
  assert_error_code (ask (stream, "{\"id\":1}"), "unsupported");
  assert_error_code (ask (stream, "{\"id\":1,\"method\":\"echo\",\"params\":{\"text\":3}}"),
                     "invalid");
  assert_error_code (ask (stream, "{\"id\":1,\"method\":\"echo\",\"params\":[]}"), "invalid");
  assert_error_code (ask (stream, "{\"id\":1,\"method\":\"echo\"} {}"), "invalid");
  /* What is no JSON ends the connection. */
  ck_assert_int_eq (fgetc (stream), EOF);
  fclose (stream);
}
END_TEST

START_TEST (job_ends_with_its_connection)
{
  cancelled = freed = 0;
  FILE *stream = connect_to ();
  json_object_put (ask (stream, "{\"id\":1,\"method\":\"begin\"}"));
  assert_error_code (ask (stream, "{\"id\":2,\"method\":\"begin\"}"), "busy");
  fprintf (stream, "{\"id\":3,\"method\":\"wait\"}\n");
  fclose (stream);
  g_mutex_lock (&lock);
  while (freed == 0)
    g_cond_wait (&changed, &lock);
  g_mutex_unlock (&lock);
  ck_assert_uint_ge (cancelled, 1);
  ck_assert_uint_eq (freed, 1);
}
END_TEST

START_TEST (abort_overtakes_the_request_under_way)
{
  cancelled = freed = 0;
  FILE *stream = connect_to ();
  json_object_put (ask (stream, "{\"id\":1,\"method\":\"begin\"}"));
  fprintf (stream, "{\"id\":2,\"method\":\"wait\"}\n");
  assert_error_code (ask (stream, "{\"id\":3,\"method\":\"job.abort\"}"), "cancelled");
  json_object_put (read_answer (stream));
  ck_assert_uint_eq (freed, 1);
  fclose (stream);
}
END_TEST

START_TEST (failed_job_tells_why)
{
  cancelled = freed = 0;
  FILE *stream = connect_to ();
  json_object_put (ask (stream, "{\"id\":1,\"method\":\"begin\"}"));
  json_object_put (ask (stream, "{\"id\":2,\"method\":\"fail later\"}"));
  assert_error_code (ask (stream, "{\"id\":3,\"method\":\"look\"}"), "deadline");
  ck_assert_uint_eq (freed, 1);
  json_object_put (ask (stream, "{\"id\":4,\"method\":\"begin\"}"));
  json_object *answer = ask (stream, "{\"id\":5,\"method\":\"look\"}");
  ck_assert_ptr_nonnull (cs_json_member_object (answer, "result"));
  json_object_put (answer);
  fclose (stream);
}
END_TEST

START_TEST (second_server_is_told)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_rpc_server_new (path, methods, NULL, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("rpc-server");
  TCase *tests = tcase_create ("rpc-server");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, answers_carry_the_id);
  tcase_add_test (tests, bad_requests_are_refused);
  tcase_add_test (tests, job_ends_with_its_connection);
  tcase_add_test (tests, abort_overtakes_the_request_under_way);
  tcase_add_test (tests, failed_job_tells_why);
  tcase_add_test (tests, second_server_is_told);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
