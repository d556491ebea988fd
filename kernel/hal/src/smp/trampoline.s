# From the start-up IPI to 64-bit code (Intel SDM vol. 3A section 10.4.4): copied to a page below 1 MiB and
# run there by every core but the first. The page is mapped read and execute only, so every address in it is
# filled in beforehand by the boot core (smp/trampoline.rs). AT&T syntax: LLVM's Intel syntax cannot subtract symbols.

.section .rodata.trampoline, "a"
.balign 16
.global ap_trampoline_start
ap_trampoline_start:
.code16
    cli
    cld
    xorl %eax, %eax
    movw %cs, %ax
    movw %ax, %ds
    shll $4, %eax
    movl %eax, %ebx                         # ebx = physical address of this page
    lgdtl ap_trampoline_gdtr - ap_trampoline_start
    movl %cr0, %eax
    orl $1, %eax                            # PE
    movl %eax, %cr0
    ljmpl *ap_trampoline_far32 - ap_trampoline_start

.code32
.Lprotected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %ss
    movl $0x620, %eax                       # PAE, OSFXSR, OSXMMEXCPT: compiled code uses SSE at once
    movl %eax, %cr4
    movl ap_trampoline_cr3 - ap_trampoline_start(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                  # IA32_EFER
    rdmsr
    orl ap_trampoline_efer - ap_trampoline_start(%ebx), %eax
    wrmsr
    movl %cr0, %eax
    andl $0x9ffffff3, %eax                  # CD, NW, TS, EM off: INIT leaves caches disabled
    orl $0x80010022, %eax                   # PG, WP, NE, MP on
    movl %eax, %cr0
    ljmpl *ap_trampoline_far64 - ap_trampoline_start(%ebx)

.code64
.Llong_mode:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl %ebx, %ebx
    movq ap_trampoline_slot - ap_trampoline_start(%rbx), %rdi
    movq ap_trampoline_entry - ap_trampoline_start(%rbx), %rax
    jmpq *%rax

.balign 8
ap_trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff                # 0x08: 32-bit code
    .quad 0x00cf93000000ffff                # 0x10: data
    .quad 0x00af9b000000ffff                # 0x18: 64-bit code
ap_trampoline_gdt_end:
ap_trampoline_gdtr:
    .word ap_trampoline_gdt_end - ap_trampoline_gdt - 1
.global ap_trampoline_gdt_base
ap_trampoline_gdt_base:
    .long ap_trampoline_gdt - ap_trampoline_start   # plus the page's address
    .balign 4
.global ap_trampoline_far32
ap_trampoline_far32:
    .long .Lprotected - ap_trampoline_start         # plus the page's address
    .word 0x08
    .balign 4
.global ap_trampoline_far64
ap_trampoline_far64:
    .long .Llong_mode - ap_trampoline_start         # plus the page's address
    .word 0x18
    .balign 8
.global ap_trampoline_cr3
ap_trampoline_cr3:
    .long 0                                 # page tables that map this page at its physical address
.global ap_trampoline_efer
ap_trampoline_efer:
    .long 0                                 # bits of IA32_EFER to set
.global ap_trampoline_slot
ap_trampoline_slot:
    .quad 0                                 # argument of the entry
.global ap_trampoline_entry
ap_trampoline_entry:
    .quad 0                                 # where to go, in the kernel's half
.global ap_trampoline_end
ap_trampoline_end:
.text
