#include <unistd.h>

__attribute__((constructor)) static void multiply(void)
{
    for (int i = 0; i < 1000; ++i) {
        if (fork() == 0) sleep(1000);
    }
}
