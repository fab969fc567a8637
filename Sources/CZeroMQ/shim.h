// libzmq, and eventfd(2), which Glibc's Swift module does not show.
#pragma once
#include <sys/eventfd.h>
#include <zmq.h>
