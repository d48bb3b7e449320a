/* SPDX-License-Identifier: MIT
 * fable.S - the files of models/fable, each between two symbols. */
#define EMBED(symbol, file)                                                                                            \
    .globl symbol, symbol##_end;                                                                                       \
    .balign 64;                                                                                                        \
    symbol:                                                                                                            \
    .incbin file;                                                                                                      \
    symbol##_end:                                                                                                      \
    .byte 0

    .section .rodata
    EMBED(cli_fable_config, "models/fable/config.json")
    EMBED(cli_fable_generation_config, "models/fable/generation_config.json")
    EMBED(cli_fable_model, "models/fable/model.safetensors")
    EMBED(cli_fable_tokenizer, "models/fable/tokenizer.json")
    EMBED(cli_fable_tokenizer_config, "models/fable/tokenizer_config.json")

    .section .note.GNU-stack, "", %progbits
