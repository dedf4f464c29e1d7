#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "tests/unit/fake-qmp.h"
#include "tests/unit/unit.h"
#include "vmm/qmp-parser.h"
#include "vmm/qmp.h"

#include <string.h>
#include <sys/mman.h>

#define FOREVER (g_get_monotonic_time () + 20 * G_USEC_PER_SEC)
#define SOON (g_get_monotonic_time () + 20000)

#define assert_script(fake)                                                                        \
  do                                                                                               \
    {                                                                                              \
      g_autofree char *problem_ = fake_qmp_finish (fake);                                          \
      ck_assert_msg (problem_ == NULL, "%s", problem_);                                            \
    }                                                                                              \
  while (0)

/* A client that has shaken hands with @steps' server. */
static CsQmp *
start (const FakeStep *steps, FakeQmp **fake, CsEventQueue **events)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsEventQueue) queue = cs_event_queue_new ();
  CsQemuVersion version = { 0 };
  *fake = fake_qmp_start (steps);
  CsQmp *qmp = cs_qmp_new (fake_qmp_connect (*fake), "QEMU at 'x'", queue);
  cs_qmp_handshake (qmp, FOREVER, &version, &error);
  unit_assert_no_error (error);
  ck_assert_int_eq (version.major, 10);
  if (events != NULL)
    *events = cs_event_queue_ref (queue);
  return qmp;
}

static bool
execute (CsQmp *qmp, const char *command, json_object **result, GError **error)
{
  return cs_qmp_wait (qmp, cs_qmp_send (qmp, command, NULL, -1), FOREVER, result, error);
}

START_TEST (replies)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "query-status" },
    { FAKE_SEND, "{\"return\": {\"status\": \"running\"}, \"id\": $2}" },
    { FAKE_EXPECT, "bad" },
    { FAKE_SEND, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no way\"}, \"id\": $3}" },
    { FAKE_EXPECT, "unknown" },
    { FAKE_SEND, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"what?\"}, \"id\": $4}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  json_object *result = NULL, *status = NULL;
  ck_assert (execute (qmp, "query-status", &result, &error));
  ck_assert (json_object_object_get_ex (result, "status", &status));
  ck_assert_str_eq (json_object_get_string (status), "running");
  json_object_put (result);
  ck_assert (!execute (qmp, "bad", NULL, &error));
  unit_assert_error (error, CS_ERROR_FAILED);
  ck_assert_str_eq (error->message, "QEMU at 'x': bad: GenericError: no way");
  g_clear_error (&error);
  ck_assert (!execute (qmp, "unknown", NULL, &error));
  unit_assert_error (error, CS_ERROR_UNSUPPORTED);
  ck_assert (cs_qmp_is_open (qmp));
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

START_TEST (replies_out_of_order)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "a" },
    { FAKE_EXPECT, "b" },
    { FAKE_SEND, "{\"return\": \"of b\", \"id\": $3}" },
    { FAKE_SEND, "{\"return\": \"of a\", \"id\": $2}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  guint64 a = cs_qmp_send (qmp, "a", NULL, -1), b = cs_qmp_send (qmp, "b", NULL, -1);
  json_object *of_a = NULL, *of_b = NULL;
  ck_assert (cs_qmp_wait (qmp, a, FOREVER, &of_a, &error));
  ck_assert (cs_qmp_wait (qmp, b, FOREVER, &of_b, &error));
  ck_assert_str_eq (json_object_get_string (of_a), "of a");
  ck_assert_str_eq (json_object_get_string (of_b), "of b");
  json_object_put (of_a);
  json_object_put (of_b);
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

/* The reply to the first command comes only when the second has been sent. */
START_TEST (late_reply_is_dropped)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "slow" },
    { FAKE_EXPECT, "quick" },
    { FAKE_SEND, "{\"return\": \"slow\", \"id\": $2}" },
    { FAKE_SEND, "{\"return\": \"quick\", \"id\": $3}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  guint64 slow = cs_qmp_send (qmp, "slow", NULL, -1);
  ck_assert (!cs_qmp_wait (qmp, slow, SOON, NULL, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  g_clear_error (&error);
  json_object *result = NULL;
  ck_assert (execute (qmp, "quick", &result, &error));
  ck_assert_str_eq (json_object_get_string (result), "quick");
  json_object_put (result);
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

START_TEST (events_in_between)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "stop" },
    { FAKE_SEND, "{\"timestamp\": {}, \"event\": \"STOP\"}" },
    { FAKE_SEND, "{\"event\": \"JOB\", \"data\": {\"id\": \"a\", \"n\": 1}}" },
    { FAKE_SEND, "{\"return\": {}, \"id\": $2}" },
    { FAKE_SLEEP, NULL, 10 },
    { FAKE_SEND, "{\"event\": \"JOB\", \"data\": {\"id\": \"b\", \"n\": 2}}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsEventQueue) queue = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, &queue);
  ck_assert (execute (qmp, "stop", NULL, &error));
  json_object *data = cs_qmp_wait_event (qmp, "JOB", "id", "b", FOREVER, &error), *n = NULL;
  ck_assert (json_object_object_get_ex (data, "n", &n));
  ck_assert_int_eq (json_object_get_int (n), 2);
  json_object_put (data);
  data = cs_qmp_wait_event (qmp, "STOP", NULL, NULL, SOON, &error);
  ck_assert_ptr_nonnull (data);
  json_object_put (data);
  ck_assert_ptr_null (cs_qmp_wait_event (qmp, "STOP", NULL, NULL, SOON, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  cs_event_queue_clear (queue);
  ck_assert_ptr_null (cs_event_queue_take (queue, "JOB", NULL, NULL));
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

/* What breaks the client, and how: the last message of a reply to "stop" ($2). */
static const struct
{
  FakeAction action;
  const char *text;
  CsError code;
} breaks[] = {
  { FAKE_CLOSE, NULL, CS_ERROR_GONE },
  { FAKE_RAW, "{\"return\": {}, \"id\"", CS_ERROR_GONE },
  { FAKE_SEND, "{\"return\": {}, \"id\": $2", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"return\": {}, \"id\": $2}}", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"return\": {}, \"id\": $2} {}", CS_ERROR_INVALID },
  { FAKE_SEND, "[\"return\"]", CS_ERROR_INVALID },
  { FAKE_SEND, "hello", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"return\": {}}", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"return\": {}, \"id\": 4711}", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"return\": {}, \"id\": \"$2\"}", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"event\": 7}", CS_ERROR_INVALID },
  { FAKE_SEND, "{\"event\": \"X\", \"data\": 7}", CS_ERROR_INVALID },
  { FAKE_SEND, FAKE_GREETING, CS_ERROR_INVALID },
};

START_TEST (broken_connection)
{
  const FakeStep steps[] = {
    FAKE_HELLO,   { FAKE_EXPECT, "stop" }, { breaks[_i].action, breaks[_i].text }, { FAKE_CLOSE },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  ck_assert (!execute (qmp, "stop", NULL, &error));
  unit_assert_error (error, breaks[_i].code);
  g_clear_error (&error);
  ck_assert (!cs_qmp_is_open (qmp));
  ck_assert (!execute (qmp, "cont", NULL, &error));
  unit_assert_error (error, breaks[_i].code);
  g_clear_error (&error);
  ck_assert_ptr_null (cs_qmp_wait_event (qmp, "STOP", NULL, NULL, FOREVER, &error));
  unit_assert_error (error, breaks[_i].code);
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

/* QEMU answers and dies: the answer counts. */
START_TEST (reply_before_close)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "quit" },
    { FAKE_SEND, "{\"return\": {}, \"id\": $2}" },
    { FAKE_CLOSE },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  ck_assert (execute (qmp, "quit", NULL, &error));
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

static const struct
{
  FakeStep step;
  CsError code;
} greetings[] = {
  { { FAKE_SLEEP, NULL, 0 }, CS_ERROR_BUSY },
  { { FAKE_CLOSE, NULL, 0 }, CS_ERROR_GONE },
  { { FAKE_SEND, "{\"return\": {}}", 0 }, CS_ERROR_INVALID },
  { { FAKE_SEND, "SSH-2.0-OpenSSH_9.2", 0 }, CS_ERROR_INVALID },
  { { FAKE_SEND, "{\"QMP\": {\"version\": 10}}", 0 }, CS_ERROR_INVALID },
  { { FAKE_SEND, "{\"QMP\": 1}", 0 }, CS_ERROR_INVALID },
};

START_TEST (bad_greeting)
{
  const FakeStep steps[] = { greetings[_i].step, { FAKE_END } };
  FakeQmp *fake = fake_qmp_start (steps);
  g_autoptr (GError) error = NULL;
  g_autoptr (CsEventQueue) events = cs_event_queue_new ();
  g_autoptr (CsQmp) qmp = cs_qmp_new (fake_qmp_connect (fake), "QEMU at 'x'", events);
  CsQemuVersion version;
  gint64 deadline = greetings[_i].code == CS_ERROR_BUSY ? SOON : FOREVER;
  ck_assert (!cs_qmp_handshake (qmp, deadline, &version, &error));
  unit_assert_error (error, greetings[_i].code);
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

START_TEST (descriptor_goes_along)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_FD, "getfd" },
    { FAKE_SEND, "{\"return\": {}, \"id\": $2}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  int fd = memfd_create ("test", MFD_CLOEXEC);
  guint64 id = cs_qmp_send (qmp, "getfd", NULL, fd);
  close (fd);
  ck_assert (cs_qmp_wait (qmp, id, FOREVER, NULL, &error));
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

/* QEMU talks at length before it listens to a long command: neither blocks the other. */
START_TEST (both_talk_at_once)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_FLOOD, "{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 123}}", 40000 },
    { FAKE_EXPECT, "long" },
    { FAKE_SEND, "{\"return\": {}, \"id\": $2}" },
    { FAKE_END },
  };
  FakeQmp *fake;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsQmp) qmp = start (steps, &fake, NULL);
  g_autofree char *text = g_strnfill (4 << 20, 'x');
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "text", json_object_new_string (text));
  guint64 id = cs_qmp_send (qmp, "long", arguments, -1);
  ck_assert (cs_qmp_wait (qmp, id, FOREVER, NULL, &error));
  cs_qmp_free (g_steal_pointer (&qmp));
  assert_script (fake);
}
END_TEST

static const char two_messages[] = "{\"a\": [1, \"}\\n{\"]}\r\n\r\n{\"b\": \"\xc3\xa4\"}\n";

START_TEST (parser_takes_any_pieces)
{
  for (gsize first = 0; first < sizeof two_messages; first++)
    for (gsize second = first; second < sizeof two_messages; second++)
      {
        g_autoptr (CsQmpParser) parser = cs_qmp_parser_new (CS_QMP_LINE_MAX);
        gsize end = sizeof two_messages - 1;
        gsize cuts[] = { 0, MIN (first, end), MIN (second, end), end };
        for (guint i = 0; i < 3; i++)
          ck_assert (
              cs_qmp_parser_feed (parser, two_messages + cuts[i], cuts[i + 1] - cuts[i], NULL));
        json_object *a = cs_qmp_parser_next (parser), *b = cs_qmp_parser_next (parser);
        ck_assert_str_eq (json_object_to_json_string (a), "{ \"a\": [ 1, \"}\\n{\" ] }");
        ck_assert (json_object_object_get_ex (b, "b", NULL));
        ck_assert_ptr_null (cs_qmp_parser_next (parser));
        json_object_put (a);
        json_object_put (b);
      }
}
END_TEST

START_TEST (parser_bounds_a_line)
{
  g_autoptr (CsQmpParser) parser = cs_qmp_parser_new (100);
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < 10; i++)
    ck_assert (cs_qmp_parser_feed (parser, "{\"a\": \"0123456789\"}     \n", 25, NULL));
  ck_assert (cs_qmp_parser_feed (parser, "{\"a\": \"", 7, NULL));
  for (guint i = 0; i < 93; i++)
    ck_assert (cs_qmp_parser_feed (parser, "x", 1, NULL));
  ck_assert (!cs_qmp_parser_feed (parser, "x", 1, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert (!cs_qmp_parser_feed (parser, "\n{}\n", 4, NULL));
}
END_TEST

START_TEST (parser_refuses_nul_and_depth)
{
  g_autoptr (CsQmpParser) parser = cs_qmp_parser_new (CS_QMP_LINE_MAX);
  ck_assert (!cs_qmp_parser_feed (parser, "{\"a\": \"\0\"}\n", 11, NULL));
  g_autoptr (CsQmpParser) deep = cs_qmp_parser_new (CS_QMP_LINE_MAX);
  g_autofree char *brackets = g_strnfill (100000, '[');
  ck_assert (cs_qmp_parser_feed (deep, "{\"a\":", 5, NULL));
  ck_assert (cs_qmp_parser_feed (deep, brackets, strlen (brackets), NULL));
  ck_assert (!cs_qmp_parser_feed (deep, "\n", 1, NULL));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("qmp");
  TCase *client = tcase_create ("client");
  tcase_set_timeout (client, 60);
  tcase_add_test (client, replies);
  tcase_add_test (client, replies_out_of_order);
  tcase_add_test (client, late_reply_is_dropped);
  tcase_add_test (client, events_in_between);
  tcase_add_loop_test (client, broken_connection, 0, G_N_ELEMENTS (breaks));
  tcase_add_test (client, reply_before_close);
  tcase_add_loop_test (client, bad_greeting, 0, G_N_ELEMENTS (greetings));
  tcase_add_test (client, descriptor_goes_along);
  tcase_add_test (client, both_talk_at_once);
  suite_add_tcase (suite, client);
  TCase *parser = tcase_create ("parser");
  tcase_set_timeout (parser, 60);
  tcase_add_test (parser, parser_takes_any_pieces);
  tcase_add_test (parser, parser_bounds_a_line);
  tcase_add_test (parser, parser_refuses_nul_and_depth);
  suite_add_tcase (suite, parser);
  return unit_run (suite);
}
