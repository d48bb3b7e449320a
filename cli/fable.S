/* SPDX-License-Identifier: MIT
 * fable.S - the files of models/fable, each between two symbols. ELF and Mach-O differ in the section of constants, and in
 * the underscore that Mach-O puts before every name of C. An assembler macro, because the separator of statements, which a
 * macro of C would need, is not the same everywhere. */
#if defined(__APPLE__)
#define NAME(symbol) _##symbol
#define CONSTANTS .const
#else
#define NAME(symbol) symbol
#define CONSTANTS .section .rodata
#endif

    .macro embed begin, end, file
    .globl \begin
    .globl \end
    .balign 64
\begin :
    .incbin "\file"
\end :
    .byte 0
    .endm

    CONSTANTS
    embed NAME(cli_fable_config), NAME(cli_fable_config_end), models/fable/config.json
    embed NAME(cli_fable_generation_config), NAME(cli_fable_generation_config_end), models/fable/generation_config.json
    embed NAME(cli_fable_model), NAME(cli_fable_model_end), models/fable/model.safetensors
    embed NAME(cli_fable_tokenizer), NAME(cli_fable_tokenizer_end), models/fable/tokenizer.json
    embed NAME(cli_fable_tokenizer_config), NAME(cli_fable_tokenizer_config_end), models/fable/tokenizer_config.json

#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
