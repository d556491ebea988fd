//! Finds instructions the kernel must not contain, by decoding its functions.

use iced_x86::{
    Decoder, DecoderOptions, EncodingKind, FastFormatter, Instruction, Mnemonic, Register,
};

/// An instruction that must not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offence {
    /// Its link-time address.
    pub address: u64,
    /// The instruction.
    pub text: String,
}

/// Memory accesses below the stack pointer.
pub(super) fn red_zone_accesses(address: u64, code: &[u8]) -> Vec<Offence> {
    offences(address, code, |instruction| {
        let touches_memory = !matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop);
        let from_stack = instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None;
        // Displacements are sign-extended to 64 bits.
        touches_memory && from_stack && (instruction.memory_displacement64() as i64) < 0
    })
}

/// Instructions in an AVX encoding: the kernel does not save what they change.
pub(super) fn avx_instructions(address: u64, code: &[u8]) -> Vec<Offence> {
    offences(address, code, |instruction| {
        let encoding = instruction.code().encoding();
        // BMI instructions share the VEX encoding but touch only general registers.
        let vector = (0..instruction.op_count()).any(|i| {
            let register = instruction.op_register(i);
            register.is_xmm() || register.is_ymm() || register.is_zmm()
        });
        encoding == EncodingKind::EVEX
            || (encoding == EncodingKind::VEX && vector)
            || matches!(
                instruction.mnemonic(),
                Mnemonic::Vzeroupper | Mnemonic::Vzeroall
            )
    })
}

fn offences(address: u64, code: &[u8], is_one: impl Fn(&Instruction) -> bool) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut formatter = FastFormatter::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if !instruction.is_invalid() && is_one(&instruction) {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            found.push(Offence {
                address: instruction.ip(),
                text,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_zone() {
        // mov [rsp-8],rax; ret
        assert_eq!(
            red_zone_accesses(0, &[0x48, 0x89, 0x44, 0x24, 0xf8, 0xc3]).len(),
            1
        );
        // mov [rsp+8],rax; lea rsp,[rsp-0x80]; push rax; mov [rbp-8],rax
        let fine = [
            0x48, 0x89, 0x44, 0x24, 0x08, 0x48, 0x8d, 0x64, 0x24, 0x80, 0x50, 0x48, 0x89, 0x45,
            0xf8,
        ];
        assert_eq!(red_zone_accesses(0, &fine), []);
    }

    #[test]
    fn avx() {
        // vmovaps ymm0,ymm1; vxorps xmm0,xmm0,xmm0; vzeroupper
        let bad = [
            0xc5, 0xfc, 0x28, 0xc1, 0xc5, 0xf8, 0x57, 0xc0, 0xc5, 0xf8, 0x77,
        ];
        let found = avx_instructions(0x1000, &bad);
        assert_eq!(
            found
                .iter()
                .map(|offence| offence.address)
                .collect::<Vec<_>>(),
            [0x1000, 0x1004, 0x1008]
        );
        // xorps xmm0,xmm0; andn eax,eax,eax
        assert_eq!(
            avx_instructions(0, &[0x0f, 0x57, 0xc0, 0xc4, 0xe2, 0x78, 0xf2, 0xc0]),
            []
        );
    }
}
