"""Sound, names, rates and times that one command of ffmpeg can write."""

from __future__ import annotations

from tests.cases.case import X264, Case, bars, by_command, moving, tone

_EIGHT = [tone(0.3, pitch=100 * n) for n in range(1, 9)]
_KEY = "00112233445566778899aabbccddeeff"
_PHONE = "com.apple.quicktime"
_STANDS = "settb=1/1000,setpts=floor(N*1000/30)+if(gte(N\\,15)\\,5000\\,0)"
_VARIABLE = "-fps_mode passthrough -enc_time_base 1/1000"

CASES = (
    by_command("bluray_m2ts.m2ts", moving(1), tone(1),
               how=f"{X264} -c:a ac3 -mpegts_m2ts_mode 1 -f mpegts"),
    by_command("lpcm_m2ts.m2ts", moving(0.4), tone(0.4),
               how=f"{X264} -c:a pcm_bluray -ac 2 -mpegts_m2ts_mode 1 -f mpegts"),
    by_command("lpcm_vob.vob", moving(), tone(),
               how="-c:v mpeg2video -q:v 4 -c:a pcm_dvd -ac 2 -f vob"),
    by_command("ima4_mov.mov", moving(1), tone(1, 22050),
               how="-c:v mjpeg -q:v 6 -c:a adpcm_ima_qt -ac 2"),
    Case(file="speex_flv.flv", make=lambda _: None, lacks="this ffmpeg has no encoder of Speex"),
    by_command("s8_mov.mov", moving(), tone(0.6, 22050), how="-c:v mjpeg -q:v 6 -c:a pcm_s8 -ac 1"),
    by_command("mp3_8k_avi.avi", moving(), tone(0.6, 8000),
               how="-c:v mpeg4 -q:v 5 -c:a libmp3lame -ac 1"),
    by_command("aac_mp4.mp4", moving(1), tone(1), how=f"{X264} -c:a aac"),
    by_command("f32_mov.mov", moving(0.4), tone(0.4) + ",volume=20",
               how=f"{X264} -c:a pcm_f32be -ac 2"),
    by_command("mono8_mov.mov", moving(0.3), *_EIGHT,
               how=" ".join(f"-map {n}" for n in range(9))
               + " -c:v prores_ks -profile:v 0 -c:a pcm_s24le"),
    by_command("obs_mkv.mkv", moving(0.5, rate="60"), *_EIGHT[:3],
               how=f"-map 0 -map 1 -map 2 -map 3 {X264} -c:a aac -metadata:s:a:0 title=Game "
               "-metadata:s:a:1 title=Mic -metadata:s:a:2 title=Talk"),
    by_command("stereo_mkv.mkv", moving(0.4),
               how=f"{X264} -metadata:s:v:0 stereo_mode=left_right"),
    by_command("hold_mkv.mkv", f"{moving(1, rate='30')},{_STANDS}", how=f"{X264} {_VARIABLE}"),
    by_command("screenrec_mkv.mkv", moving(4, rate="1") + ",settb=1/1000,setpts=N*N*200",
               how=f"{X264} {_VARIABLE}"),
    by_command("late_mkv.mkv", moving(1), tone(1),
               how=f"{X264} -c:a flac -output_ts_offset 5400"),
    by_command("late_mp4.mp4", moving(1), tone(1),
               how=f"{X264} -c:a aac -output_ts_offset 5400"),
    by_command("mdta_mov.mov", moving(0.4), tone(0.4, 44100),
               how=f"{X264} -c:a aac -movflags use_metadata_tags "
               f"-metadata {_PHONE}.location.ISO6709=+48.2000+016.3667+180.000/ "
               f"-metadata {_PHONE}.make=Apple -metadata '{_PHONE}.model=Phone 13' "
               f"-metadata {_PHONE}.creationdate=2024-05-06T07:08:09+0200 "
               "-metadata creation_time=2024-05-06T05:08:09Z"),
    by_command("itunes_m4v.m4v", moving(0.4), tone(0.4, 44100),
               how=f"{X264} -c:a aac -metadata 'show=A Show' -metadata season_number=2 "
               "-metadata episode_sort=5 -metadata media_type=10 -metadata hd_video=1 "
               "-metadata synopsis=long -metadata network=TV -metadata episode_id=S02E05 "
               "-metadata genre=Comedy -metadata date=2020 -metadata compilation=1"),
    by_command("cenc_mp4.mp4", moving(1), tone(1),
               how=f"{X264} -c:a aac -encryption_scheme cenc-aes-ctr -encryption_key {_KEY} "
               "-encryption_kid 0123456789abcdef0123456789abcdef"),
    by_command("slowfps_mp4.mp4", moving(300, rate="1/60"),
               how=f"{X264} -video_track_timescale 1"),
    by_command("fps480_mp4.mp4", moving(0.1, rate="480"),
               how=f"{X264} -video_track_timescale 1000000"),
    by_command("sarodd_mkv.mkv", moving(0.4) + ",setsar=64000/63999",
               how="-c:v ffv1 -pix_fmt yuv420p"),
)  # fmt: skip


def _tagged(name: str, matrix: str, others: str) -> Case:
    """Bars in a matrix that swscale knows, tagged so."""
    shape = "out_range=tv:flags=accurate_rnd+full_chroma_int"
    graph = f"{bars()},scale=out_color_matrix={matrix}:{shape},format=yuv444p"
    return by_command(f"{name}.mkv", graph, how="-c:v libx264 -preset veryfast -crf 8 "
                      f"-x264-params colormatrix={matrix}:{others}")  # fmt: skip


COLOURS = (
    _tagged("s240m_mkv", "smpte240m", "colorprim=smpte240m:transfer=smpte240m"),
    _tagged("fcc_mkv", "fcc", "colorprim=bt470m:transfer=bt470m"),
)
