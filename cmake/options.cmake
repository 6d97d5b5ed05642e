# Options, compiler and linker flags for everything in this tree.

set(CLEW_TLS awslc CACHE STRING "TLS engine: awslc or openssl (Debian's)")
set_property(CACHE CLEW_TLS PROPERTY STRINGS awslc openssl)
set(CLEW_SANITIZE "" CACHE STRING "address,undefined or thread; empty for none")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# All of it ends in executables: under -fPIC, which CMake gives to libraries, no function that others may call is inlined
# within its own file, and each thread_local costs a call.
set(CMAKE_CXX_COMPILE_OPTIONS_PIC -fPIE)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CLEW_CCACHE ccache)
if(CLEW_CCACHE)
  # Relative to the tree, so that a second clone finds what the first one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CLEW_CCACHE})
endif()

# -g1 (function names and lines) is what a stack trace needs; full -g doubles the build time of coroutine code.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

add_compile_options(-ffunction-sections -fdata-sections)
# One prefix for __FILE__ and debug info, so that objects, and thus the compiler cache, do not depend on where the clone lies.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}=.)
include(CheckPIESupported)
check_pie_supported()
add_link_options(-Wl,--gc-sections -Wl,-z,relro,-z,now)

if(CLEW_SANITIZE)
  add_compile_options(-fsanitize=${CLEW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CLEW_SANITIZE})
  if(CLEW_SANITIZE MATCHES thread)
    # protobuf's maps have members more under it than in the library that Debian compiled.
    add_compile_options(-U__SANITIZE_THREAD__)
  endif()
  # -O1 keeps coroutine frames and stack traces readable; asserts are on.
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1")
else()
  # The binary runs where only glibc is: everything else is linked into it.
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

# Warnings for our own code; third-party headers are SYSTEM includes.
set(CLEW_WARNINGS -Wall -Wextra -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CLEW_SANITIZE)
  # g++ 12 sees uninitialised values and overflows in the code that sanitizers add.
  list(APPEND CLEW_WARNINGS -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-mismatched-new-delete)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  # libstdc++ 12's stable_sort uses what it calls deprecated itself; g++ watches over the rest.
  list(APPEND CLEW_WARNINGS -Wno-deprecated-declarations)
endif()
