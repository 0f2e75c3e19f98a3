#!/bin/bash -eu
# Builds the fuzz targets as OSS-Fuzz wants them.  From its environment:
# CC, CFLAGS, LIB_FUZZING_ENGINE, OUT; SRC/mbj is this tree, WORK is scratch.
#
# The machines that run the targets have none of our libraries, so Berkeley
# DB, ICU, libcrypto, Jansson and libzstd are linked statically (Debian's and
# Ubuntu's development packages bring the archives); ICU's are C++.
source=$SRC/mbj
cmake -S "$source" -B "$WORK/build" -G Ninja -DCMAKE_BUILD_TYPE=None \
	-DBUILD_TESTING=OFF -DMBJ_FUZZ=ON \
	-DMBJ_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" \
	-DMBJ_STATIC_DEPS=ON \
	-DCMAKE_C_STANDARD_LIBRARIES="-l:libstdc++.a -lm -ldl -lpthread"
cmake --build "$WORK/build" --target fuzzers
for program in "$WORK"/build/fuzz/fuzz_*; do
	[ -f "$program" ] && [ -x "$program" ] || continue
	name=${program##*/fuzz_}
	cp "$program" "$OUT/"
	(cd "$source/fuzz/corpus/$name" &&
		zip -q -r "$OUT/fuzz_${name}_seed_corpus.zip" .)
	[ ! -f "$source/fuzz/dict/$name.dict" ] ||
		cp "$source/fuzz/dict/$name.dict" "$OUT/fuzz_$name.dict"
done
