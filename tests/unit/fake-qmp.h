/* A scripted QMP server: it does step by step what its script says, right or wrong. */
#ifndef CS_TESTS_FAKE_QMP_H
#define CS_TESTS_FAKE_QMP_H

#include <glib.h>

typedef enum
{
  FAKE_END,    /* the script is over: reads on until the client closes */
  FAKE_EXPECT, /* a command named @text must come; its id is remembered */
  FAKE_FD,     /* as FAKE_EXPECT, and a descriptor must have come with it */
  FAKE_SEND,   /* @text and a line end; "$1" stands for the id of the first expected command, ... */
  FAKE_RAW,    /* @text without a line end */
  FAKE_FLOOD,  /* @text @number times, each with a line end */
  FAKE_SLEEP,  /* @number ms */
  FAKE_CLOSE,  /* closes the connection */
} FakeAction;

typedef struct
{
  FakeAction action;
  const char *text;
  guint number;
} FakeStep;

#define FAKE_GREETING_OF(major)                                                                    \
  "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": " #major             \
  "}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}"
#define FAKE_GREETING FAKE_GREETING_OF (10)
/* The steps of every good beginning; qmp_capabilities is $1. */
#define FAKE_HELLO                                                                                 \
  { FAKE_SEND, FAKE_GREETING }, { FAKE_EXPECT, "qmp_capabilities" },                               \
  {                                                                                                \
    FAKE_SEND, "{\"return\": {}, \"id\": $1}"                                                      \
  }

typedef struct FakeQmp FakeQmp;

/* Listens at a path of its own and serves one client in a thread.  @steps must outlive it. */
FakeQmp *fake_qmp_start (const FakeStep *steps);
const char *fake_qmp_path (const FakeQmp *fake);

/* A connected client socket. */
int fake_qmp_connect (const FakeQmp *fake);

/* Waits for the script's end (close the client first) and frees all.  NULL, or what went
 * otherwise than the script says (g_free). */
char *fake_qmp_finish (FakeQmp *fake);

#endif
