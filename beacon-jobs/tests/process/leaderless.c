/* A process whose first thread has ended while another goes on: its state reads as a zombie's.
 * usage: leaderless FILE; the other thread writes one byte to FILE every ten milliseconds. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static void *work(void *path) {
    for (;;) {
        int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (file >= 0) {
            if (write(file, "x", 1) < 0) _exit(1);
            close(file);
        }
        usleep(10000);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 2 || pthread_create(&thread, NULL, work, argv[1]) != 0) return 64;
    pthread_exit(NULL);
}
