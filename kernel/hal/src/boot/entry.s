# The first instructions: from whatever a boot loader leaves to 64-bit code with an identity map, on our
# stack, with the image's relocations applied to where it happens to lie. AT&T syntax, because LLVM's Intel
# syntax cannot subtract symbols. Nothing here may use an absolute address: the image can lie anywhere below 4 GiB.

.section .text.boot, "ax"
.code32

# QEMU -kernel and other PVH loaders (Xen's docs/misc/pvh.pandoc): 32-bit protected mode, paging off,
# ebx = hvm_start_info.
.global pvh_entry
pvh_entry:
    leal 12(%ebx), %esp                 # a word of hvm_start_info to push over: .Lcommon needs 4 bytes of stack
    movl $1, %ebp                       # BootPath::Pvh
    jmp .Lcommon

# GRUB by multiboot2 (Multiboot2 specification 2.0 section 3.3): the same, ebx = boot information.
.global multiboot2_entry
multiboot2_entry:
    leal 8(%ebx), %esp                  # the first 8 bytes are total size and a reserved word
    movl $2, %ebp                       # BootPath::Multiboot2

# Where are we? Push the return address over the word above esp, and put the word back.
.Lcommon:
    cli
    cld
    movl -4(%esp), %ecx
    call .Lhere
.Lhere:
    popl %edi
    movl %ecx, -4(%esp)
    leal boot_stack_top - .Lhere(%edi), %esp

    # Identity map of the first 4 GiB in 2 MiB pages: boot_tables = PML4, PDPT, 4 page directories.
    leal boot_tables - .Lhere(%edi), %esi
    leal 0x1003(%esi), %eax
    movl %eax, (%esi)
    leal 0x2003(%esi), %eax
    leal 0x1000(%esi), %edx
    movl $4, %ecx
1:  movl %eax, (%edx)
    addl $0x1000, %eax
    addl $8, %edx
    decl %ecx
    jnz 1b
    leal 0x2000(%esi), %edx
    movl $0x83, %eax                    # present, writable, 2 MiB
    movl $2048, %ecx
2:  movl %eax, (%edx)
    movl $0, 4(%edx)
    addl $0x200000, %eax
    addl $8, %edx
    decl %ecx
    jnz 2b

    movl %cr4, %eax
    andl $~0x1000, %eax                 # LA57, which a loader started by UEFI may leave set: our tables have four levels
    orl $0x620, %eax                    # PAE, OSFXSR, OSXMMEXCPT: compiled code uses SSE from the start
    movl %eax, %cr4
    movl %esi, %cr3
    movl $0x80000001, %eax
    pushl %ebx
    cpuid
    popl %ebx
    movl $0xc0000080, %ecx              # IA32_EFER
    movl %edx, %esi
    rdmsr
    orl $0x101, %eax                    # LME, SCE
    btl $20, %esi                       # NX is optional
    jnc 3f
    orl $0x800, %eax
3:  wrmsr
    movl %cr0, %eax
    andl $0x9ffffff3, %eax              # clear CD, NW, TS, EM
    orl $0x80010023, %eax               # set PG, WP, NE, MP, PE
    movl %eax, %cr0

    pushl $0x00af9b00                   # a GDT on the stack: null, 64-bit code
    pushl $0x0000ffff
    pushl $0
    pushl $0
    movl %esp, %eax
    subl $8, %esp
    movw $15, (%esp)
    movl %eax, 2(%esp)
    lgdtl (%esp)
    leal .Llong - .Lhere(%edi), %eax
    pushl $8
    pushl %eax
    lretl

.code64
.Llong:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl %ebx, %ebx                     # zero-extend: upper halves are undefined after the mode switch
    movl %ebp, %ebp
    leaq boot_stack_top(%rip), %rsp
    call image_slide
    movq %rax, %rdi
    call apply_relocations
    movq %rbp, %rdi
    movq %rbx, %rsi
    xorl %ebp, %ebp
    call boot_legacy
    ud2

# rax = address we run at - address we are linked at. Clobbers rcx.
image_slide:
    leaq __image_base(%rip), %rax
    movabsq $0xffffffff80200000, %rcx   # KERNEL_BASE + LOAD_ADDRESS of kernel.ld
    subq %rcx, %rax
    ret

# Makes every pointer in the image point to (linked address + rdi). Idempotent, so it is done once for the
# load address and again for the final one. Only R_X86_64_RELATIVE (8) can occur with -z text; lld leaves
# R_X86_64_NONE (0) for sections the linker script discards.
.global apply_relocations
apply_relocations:
    call image_slide
    movq %rax, %rsi
    leaq __rela_start(%rip), %rax
    leaq __rela_end(%rip), %rdx
1:  cmpq %rdx, %rax
    jae 3f
    movl 8(%rax), %r9d
    testl %r9d, %r9d
    jz 2f
    cmpl $8, %r9d
    jne 4f
    movq (%rax), %rcx
    movq 16(%rax), %r8
    addq %rdi, %r8
    movq %r8, (%rcx,%rsi)
2:  addq $24, %rax
    jmp 1b
3:  ret
4:  ud2

# UEFI (UEFI 2.10 section 4.1): rcx = image handle, rdx = system table, Microsoft calling convention.
.global efi_entry
efi_entry:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rsi
    pushq %rdi
    pushq %rcx
    pushq %rdx
    call image_slide
    movq %rax, %rdi
    call apply_relocations
    popq %rdx
    popq %rcx
    andq $-16, %rsp
    subq $32, %rsp
    call boot_efi
    leaq -16(%rbp), %rsp
    popq %rdi
    popq %rsi
    popq %rbp
    ret

# enter_high(slide = rdi, page tables = rsi, entry = rdx, stack top = rcx): relocate for the final base, switch
# to the final page tables (which map this code where it runs, too) and jump.
.global enter_high
enter_high:
    movq %rsi, %r12
    movq %rdx, %r13
    movq %rcx, %r14
    call apply_relocations
    movq %r12, %cr3
    movq %r14, %rsp
    xorl %ebp, %ebp
    pushq %rbp
    jmp *%r13
.global enter_high_end
enter_high_end:

.section .bss.boot, "aw", @nobits
.balign 4096
boot_tables:
    .skip 4096 * 6
.global boot_stack
boot_stack:
    .skip 65536
.global boot_stack_top
boot_stack_top:
.text
