# The one place that decides how a guest is compiled to wasm; sourced, never run. Needs common.sh.
#
#   rustup    the compiler in use has the wasm target, or rustup can fetch it
#   fallback  Debian's `rustc-web` builds the standard library from source, where rustup is absent or cannot download
#
# SANGAM_WASM=rustup|fallback takes the decision out of our hands.

WASM_TARGET=wasm32-unknown-unknown

wasm_target_is_there() { [ -d "$(rustc --print sysroot)/lib/rustlib/$WASM_TARGET/lib" ]; }

# Prints `rustup` or `fallback`, and makes sure that it works.
wasm_setup() {
    case ${SANGAM_WASM:-auto} in
    rustup) wasm_target_is_there || rustup target add "$WASM_TARGET" >&2 ||
        fail "rustup cannot fetch the target $WASM_TARGET; SANGAM_WASM=fallback takes Debian's compiler instead" ;;
    fallback)
        wasm_setup_fallback
        echo fallback
        return
        ;;
    auto)
        if ! wasm_target_is_there && ! { have rustup && rustup target add "$WASM_TARGET" >/dev/null 2>&1; }; then
            say "the wasm target cannot be had from rustup: taking Debian's rustc-web"
            wasm_setup_fallback
            echo fallback
            return
        fi
        ;;
    *) fail "SANGAM_WASM is '$SANGAM_WASM'; it may be 'rustup' or 'fallback'" ;;
    esac
    echo rustup
}

wasm_setup_fallback() {
    need_packages "a compiler for wasm" rustc-web rust-web-src
    [ -n "$(wasm_linker)" ] || need_packages "a linker for wasm" lld
}

wasm_rustc() { dpkg-query -L rustc-web | grep '/bin/rustc$'; }

# Every Rust tool-chain that rustup installs brings its own lld; Debian's has it in a package.
wasm_linker() {
    local found
    found=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -path '*/bin/*' 2>/dev/null | head -n 1)
    [ -n "$found" ] || found=$(compgen -c wasm-ld | head -n 1)
    printf '%s' "$found"
}

# wasm_cargo HOW ARGUMENT... : `cargo ARGUMENT...` for the wasm target.
# An own target folder: the other compiler would otherwise evict what the ordinary build has made, and each would wait for the other's lock.
wasm_cargo() {
    local how=$1
    shift
    export CARGO_TARGET_DIR=$ROOT/target/wasm-$how
    if [ "$how" = fallback ]; then
        # RUSTC_BOOTSTRAP: building the standard library is an unstable option, and this is a stable compiler.
        RUSTC=$(wasm_rustc) RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(wasm_linker) \
            cargo "$@" --target "$WASM_TARGET" -Zbuild-std=std,panic_abort
    else
        cargo "$@" --target "$WASM_TARGET"
    fi
}
