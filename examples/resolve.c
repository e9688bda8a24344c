/* Asks the C library's own resolver, to see what an application sees. Built twice, with glibc and with musl.
 *
 *   resolve NAME            every address, one per line, in the library's order
 *   resolve -4|-6 NAME      only that family
 *   resolve -t NAME         the same question over TCP (glibc only)
 *   resolve -x ADDRESS      the name of an address
 *
 * Exit code: 0 answered, 1 the name has no address, 2 the resolver failed (no answer, server failure), 64 usage. */

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { kAnswered = 0, kNoAddress = 1, kFailed = 2, kUsage = 64 };

static int usage(void) {
  fputs("usage: resolve [-4|-6|-t] NAME\n       resolve -x ADDRESS\n", stderr);
  return kUsage;
}

static int outcome(int error) {
  fprintf(stderr, "%s\n", gai_strerror(error));
#ifdef EAI_NODATA
  if (error == EAI_NODATA) return kNoAddress;
#endif
  return error == EAI_NONAME ? kNoAddress : kFailed;
}

static int reverse(const char* text) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct addrinfo* address = NULL;
  char name[NI_MAXHOST];
  int error = getaddrinfo(text, NULL, &hints, &address);
  if (error != 0) return outcome(error);
  error = getnameinfo(address->ai_addr, address->ai_addrlen, name, sizeof name, NULL, 0, NI_NAMEREQD);
  freeaddrinfo(address);
  if (error != 0) return outcome(error);
  puts(name);
  return kAnswered;
}

static int forward(const char* name, int family) {
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
  struct addrinfo* addresses = NULL;
  const int error = getaddrinfo(name, NULL, &hints, &addresses);
  if (error != 0) return outcome(error);
  for (const struct addrinfo* one = addresses; one != NULL; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0) puts(text);
  }
  freeaddrinfo(addresses);
  return kAnswered;
}

#ifdef __GLIBC__
static int over_tcp(const char* name) {
  if (res_init() != 0) return kFailed;
  _res.options |= RES_USEVC;
  return forward(name, AF_UNSPEC);
}
#else
static int over_tcp(const char* name) {
  (void)name;
  fputs("this C library offers no choice of TCP\n", stderr);
  return kUsage;
}
#endif

int main(int argc, char** argv) {
  if (argc == 2 && argv[1][0] != '-') return forward(argv[1], AF_UNSPEC);
  if (argc != 3) return usage();
  if (strcmp(argv[1], "-4") == 0) return forward(argv[2], AF_INET);
  if (strcmp(argv[1], "-6") == 0) return forward(argv[2], AF_INET6);
  if (strcmp(argv[1], "-t") == 0) return over_tcp(argv[2]);
  if (strcmp(argv[1], "-x") == 0) return reverse(argv[2]);
  return usage();
}
