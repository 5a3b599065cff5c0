#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void before_everything(void)
{
    FILE *file = fopen("/tmp/bnbench_hostile_was_here", "w");
    if (file) fclose(file);
    fputs("BNUW\0\0\0\0\0\0\0\0\1\0\0\0", stdout);
    _exit(0);
}
