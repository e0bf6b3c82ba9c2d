/* A process that forks, calls setsid and exits, in its child again, and so on without end.
 * usage: forker FILE MICROSECONDS; each generation writes one byte to FILE. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    for (;;) {
        pid_t child = fork();
        if (child > 0) _exit(0);
        if (child < 0) { usleep(1000); continue; }
        setsid();
        int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (file >= 0) {
            if (write(file, "x", 1) < 0) _exit(1);
            close(file);
        }
        usleep(atoi(argv[2]));
    }
}
